package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// childSocket names the socket in the environment of a test's child process.
const childSocket = "IPE_TEST_CHILD_SOCKET"

// TestMain is also the child: a peer with fewer rights that tries everything and
// prints the errno of each attempt.
func TestMain(m *testing.M) {
	if socket := os.Getenv(connectSocket); socket != "" {
		os.Exit(connectAndGo(socket))
	}
	socket := os.Getenv(childSocket)
	if socket == "" {
		os.Exit(m.Run())
	}
	if err := dropCapabilities(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx := context.Background()
	c := client.New(socket)
	_, status := c.Status(ctx)
	_, list := c.List(ctx)
	_, mode := c.Mode(ctx)
	_, load := c.Load(ctx, nil)
	_, update := c.Update(ctx, "x", nil)
	_, activate := c.Activate(ctx, "x")
	_, setMode := c.SetMode(ctx, api.ModeChange{})
	_, forecast := c.Preflight(ctx, "x")
	_, forecastOf := c.PreflightOf(ctx, nil)
	events := c.Events(ctx, false, func(api.Record) error { return nil })
	_, reload := c.Reload(ctx)
	_, profile := c.Profile(ctx)
	_, loadProfile := c.LoadProfile(ctx, nil)
	for _, err := range []error{status, list, mode, load, update, activate, c.Delete(ctx, "x"), setMode, forecast, forecastOf, events, reload, profile, loadProfile} {
		fmt.Printf("%s,", errno.Symbol(err))
	}
}

// childMay is what the child prints if reading is all that it may do.
const childMay = ",,,EPERM,EPERM,EPERM,EPERM,EPERM,EPERM,EPERM,EPERM,EPERM,ENOENT,EPERM,"

// The first goroutine is on the first thread while variables get their values, and stays
// there: capabilities are a thread's, and those of the first count as the process's. A
// busy machine had moved it, and the child kept its rights.
var _ = stay()

func stay() struct{} {
	runtime.LockOSThread()
	return struct{}{}
}

func dropCapabilities() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&hdr, &none[0])
}

type fixture struct {
	socket string
	client *client.Client
	signer *controltest.Signer
	engine *controltest.Engine
	stop   func() error
	// reload is the error of reloads.
	reload error
}

func serve(t *testing.T) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "rpc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{socket: filepath.Join(dir, "run", "iped.sock"), signer: controltest.NewSigner(t, "signer"), engine: controltest.NewEngine()}
	c := control.New(control.Config{Store: st, Verifier: control.Certificates(f.signer.Keyring()), Engine: f.engine})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	l, err := server.Listen(f.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() {
		done <- server.Serve(ctx, l, nil, controltest.Daemon{Control: c, OnReload: func() error { return f.reload }}, slog.New(slog.DiscardHandler))
	}()
	go func() { done <- c.Run(ctx) }()
	f.client = client.New(f.socket)
	f.stop = func() error {
		cancel()
		return errors.Join(<-done, <-done)
	}
	t.Cleanup(func() {
		f.client.Close()
		cancel()
		st.Close()
	})
	return f
}

func text(name, version string) string {
	return fmt.Sprintf("policy_name=%s policy_version=%s\nDEFAULT action=DENY\n", name, version)
}

// isRoot: run as anybody else, the tests expect EPERM wherever root is needed.
func isRoot() bool { return os.Geteuid() == 0 }

func TestLifeCycle(t *testing.T) {
	f := serve(t)
	ctx := t.Context()
	want := func(what string, err error, symbol string) {
		t.Helper()
		if !isRoot() && symbol != "ENOENT" {
			symbol = "EPERM"
		}
		if got := errno.Symbol(err); got != symbol {
			t.Errorf("%s: %q (%v), want %q", what, got, err, symbol)
		}
	}
	name := "od\"d%2f?;\x80" // no slash, but all that a path could trip over
	_, err := f.client.Load(ctx, f.signer.Sign(t, text(name, "1.0.0")))
	want("load", err, "")
	_, err = f.client.Load(ctx, f.signer.Sign(t, text(name, "1.0.0")))
	want("load again", err, "EEXIST")
	_, err = f.client.Load(ctx, make([]byte, 1<<20))
	want("load a megabyte", err, "EMSGSIZE")
	info, err := f.client.Activate(ctx, name)
	want("activate", err, "")
	if isRoot() && (!info.Active || info.Version != "1.0.0") {
		t.Errorf("activated %+v", info)
	}
	_, err = f.client.Update(ctx, name, f.signer.Sign(t, text(name, "1.0.0")))
	want("update, same version", err, "ESTALE")
	_, err = f.client.Update(ctx, name, f.signer.Sign(t, text(name, "1.1.0")))
	want("update", err, "")
	want("delete the active", f.client.Delete(ctx, name), "EPERM")
	off := false
	m, err := f.client.SetMode(ctx, api.ModeChange{Enforce: &off})
	want("mode", err, "")
	if m != (api.ModeResult{}) {
		t.Errorf("mode %+v", m)
	}
	list, err := f.client.List(ctx)
	if err != nil || isRoot() && (len(list) != 1 || list[0].Version != "1.1.0" || !strings.HasPrefix(list[0].Name, `od"d%2f?;`)) {
		t.Errorf("list %+v, %v", list, err)
	}
	st, err := f.client.Status(ctx)
	if err != nil || isRoot() && st.Summary != "permissive" {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestReload: the answer is that of the reload, with the number of what went wrong.
func TestReload(t *testing.T) {
	f := serve(t)
	if got, err := f.client.Reload(t.Context()); err != nil || got.Certificates != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	f.reload = fmt.Errorf("policy %q: %w", "site", sign.ErrUntrusted)
	_, err := f.client.Reload(t.Context())
	var refusal *api.Error
	if !errors.As(err, &refusal) || refusal.Symbol() != "ENOKEY" || !strings.Contains(refusal.Message, `policy "site"`) || !strings.Contains(refusal.Fix, "certificate") {
		t.Errorf("%+v", err)
	}
}

func TestHintTravels(t *testing.T) {
	f := serve(t)
	_, err := f.client.Load(t.Context(), []byte("no message"))
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Hint() == "" || strings.Contains(refused.Message, "\n") {
		t.Errorf("error %#v, want an Error in one line with a hint", err)
	}
}

func TestRawRequests(t *testing.T) {
	f := serve(t)
	hc := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", f.socket)
	}}}
	defer hc.CloseIdleConnections()
	guarded := func(status int) int {
		if isRoot() {
			return status
		}
		return http.StatusForbidden
	}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/v1/status", "", 200},
		{"GET", "/v2/status", "", 422},
		{"GET", "/", "", 422},
		{"PATCH", "/v1/mode", "{}", 422},
		{"PUT", "/v1/mode", "{", guarded(422)},
		{"PUT", "/v1/mode", `{"enforced":true}`, guarded(422)},
		{"GET", "/v1/policies/none", "", 404},
		{"GET", "/v1/policies/none/pkcs7", "", 404},
		{"GET", "/v1/policies/none/policy", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://iped"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.path, resp.StatusCode, tt.want)
		}
	}
}

// TestPeersWithoutRights: neither another user nor root without CAP_MAC_ADMIN
// may change anything or read decisions; both may read the rest.
func TestPeersWithoutRights(t *testing.T) {
	f := serve(t)
	users := []uint32{uint32(os.Geteuid())}
	if isRoot() {
		users = append(users, 65534)
	}
	for _, uid := range users {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), childSocket+"="+f.socket)
		if isRoot() {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		}
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != childMay {
			t.Errorf("uid %d: %q, %v; want %q", uid, out, err, childMay)
		}
	}
}

// TestModeChangesDoNotMeet: two clients that change one switch each both get their
// way.
func TestModeChangesDoNotMeet(t *testing.T) {
	f := serve(t)
	on, off := true, false
	for range 200 {
		_, err := f.client.SetMode(t.Context(), api.ModeChange{Enforce: &off, SuccessAudit: &off})
		if !isRoot() && errno.Symbol(err) == "EPERM" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		for _, change := range []api.ModeChange{{Enforce: &on}, {SuccessAudit: &on}} {
			go func() {
				_, err := f.client.SetMode(t.Context(), change)
				done <- err
			}()
		}
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		if m, err := f.client.Mode(t.Context()); err != nil || !m.Enforce || !m.SuccessAudit {
			t.Fatalf("mode %+v, %v; want both", m, err)
		}
	}
}

func TestEventStream(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	emit := func(pid uint32) {
		f.engine.Emit(engine.Event{PID: pid, Event: eval.Event{Op: policy.OpExecute}, Decision: eval.Decision{Action: policy.Deny}})
	}
	emit(1)
	var pids []uint32
	err := f.client.Events(ctx, true, func(r api.Record) error {
		pids = append(pids, r.PID)
		if len(pids) == 3 {
			return context.Canceled
		}
		emit(uint32(len(pids) + 1)) // goes on only if each line is sent at once
		return nil
	})
	if !isRoot() {
		if errno.Symbol(err) != "EPERM" {
			t.Errorf("events for others: %v, want EPERM", err)
		}
		return
	}
	if !errors.Is(err, context.Canceled) || !slices.Equal(pids, []uint32{1, 2, 3}) {
		t.Errorf("decisions of %v, %v; want 1, 2, 3", pids, err)
	}
}

func TestListen(t *testing.T) {
	f := serve(t)
	if _, err := server.Listen(f.socket); !errors.Is(err, server.ErrInUse) {
		t.Errorf("second listener: %v, want ErrInUse", err)
	}
	if err := f.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := f.client.Status(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("after the stop: %v, want ErrUnreachable", err)
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := server.Listen(f.socket)
	if err != nil {
		t.Fatalf("a killed daemon's socket is in the way: %v", err)
	}
	defer l.Close()
	if st, err := os.Stat(f.socket); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("socket %v, %v; want mode 0666", st.Mode(), err)
	}
}
