//go:build !guest

package daemon

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/control/rpc/server"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/daemon/policydir"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

func TestFlags(t *testing.T) {
	def := config{engine: "auto", profile: "compat", state: "/var/lib/ipe", socket: api.DefaultSocket, policyDirs: policydir.Default(),
		audit: auditConfig{sinks: []string{"journal"}, generation: audit.Newest, fileMiB: 8, files: 5}}
	trusting := def
	trusting.trust = []string{"a", "b"}
	strict := def
	strict.profile = "strict"
	found := def
	found.policyDirs = []string{"a", "b"}
	none := def
	none.policyDirs = nil
	recorded := def
	recorded.audit = auditConfig{sinks: []string{"file:/a", "netlink"}, generation: audit.Linux6_12, files: 2}
	tests := []struct {
		args []string
		want config
		err  string
	}{
		{nil, def, ""},
		{[]string{"--profile", "strict"}, strict, ""},
		{[]string{"--trust", "a", "--trust=b"}, trusting, ""},
		{[]string{"--policy-dir", "a", "--policy-dir=b"}, found, ""},
		{[]string{"--policy-dir="}, none, ""},
		{[]string{"--audit", "file:/a", "--audit=netlink", "--audit-generation=6.12", "--audit-size", "0", "--audit-files", "002"}, recorded, ""},
		{[]string{"--audit-generation", "6.13"}, config{}, "no such generation: there are 6.12, 6.16, 6.17, 6.19"},
		{[]string{"--audit-files", "0"}, config{}, "not between 1 and 999"},
		{[]string{"--audit-size", "-1"}, config{}, "not a number in decimal digits"},
		{[]string{"--audit-files", "0x10"}, config{}, "not a number in decimal digits"},
		{[]string{"--audit-size", "1048577"}, config{}, "not between 0 and"},
		{[]string{"--engine", "fanotify"}, config{}, "not one of auto, bpf, securityfs"},
		{[]string{"--profile", "lax"}, config{}, "--profile lax: not one of compat, strict"},
		{[]string{"start"}, config{}, "takes no arguments"},
		{[]string{"--frob"}, config{}, "not defined: --frob"},
		{[]string{"--trust"}, config{}, "needs an argument: --trust"},
		{[]string{"--audit-size", "x"}, config{}, "for flag --audit-size"},
	}
	for _, tt := range tests {
		var stderr bytes.Buffer
		got, err := parseFlags(tt.args, &stderr)
		if stderr.Len() > 0 {
			t.Errorf("%q: prints %q", tt.args, &stderr)
		}
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %q", tt.args, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(config{}, auditConfig{})); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", tt.args, err, diff)
		}
	}
}

// TestHelp: flags are written as people write them.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := parseFlags([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "  --audit sink\n") || strings.Contains(out.String(), "\n  -a") {
		t.Error(out.String())
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	pol := filepath.Join(dir, "boot.pol")
	if err := os.WriteFile(pol, []byte("policy_name=boot policy_version=0.0.1\nDEFAULT action=DENY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		args   []string
		want   int
		stderr string
	}{
		{"version", []string{"--version"}, 0, ""},
		{"help", []string{"--help"}, 0, "Usage: iped"},
		{"usage", []string{"x"}, 2, "iped: error: iped takes no arguments"},
		{"not root", []string{"--trust", dir + "/gone"}, 1, "iped: error: iped needs root\n"},
		{"version for everybody", []string{"--version"}, 0, ""},
		{"usage for everybody", []string{"x"}, 2, "iped: error: iped takes no arguments"},
		{"kernel without IPE", []string{"--engine", "securityfs", "--state", dir + "/s", "--socket", dir + "/x"}, 3,
			"kernel feature kernel-ipe: /sys/kernel/security/ipe does not exist"},
		{"unsigned for the kernel", []string{"--engine", "securityfs", "--boot-policy", pol, "--state", dir + "/s", "--socket", dir + "/x"}, 3,
			"CONFIG_IPE_BOOT_POLICY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			uid := 0
			if strings.Contains(tt.name, "not root") || strings.Contains(tt.name, "everybody") {
				uid = 1000
			}
			if got := run(tt.args, uid, func() error { return nil }, &stdout, &stderr); got != tt.want || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit code %d, stderr %q; want %d with %q", got, &stderr, tt.want, tt.stderr)
			}
		})
	}
}

type hinted struct{ error }

func (hinted) Hint() string { return "do this" }

func TestHintsOfJoinedErrors(t *testing.T) {
	err := fmt.Errorf("start: %w", errors.Join(hinted{errors.New("a")}, errors.New("b"), fmt.Errorf("x: %w", hinted{errors.New("c")})))
	if got := hint.All(err); len(got) != 2 {
		t.Errorf("hints %q, want both", got)
	}
}

// TestDaemon runs the daemon on an engine without a kernel: it tells systemd,
// answers, is the only one, and says at the end what goes on.
func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	boot := filepath.Join(dir, "boot.pol")
	if err := os.WriteFile(boot, []byte("policy_name=boot policy_version=0.0.1\nDEFAULT action=DENY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "n"))
	cfg := config{engine: engineAuto, state: filepath.Join(dir, "state"), socket: filepath.Join(dir, "run", "s"), bootPolicy: boot}
	eng := controltest.NewEngine()
	open := func(config, *trusted, *slog.Logger) (opened, error) { return opened{eng, "the test has it"}, nil }
	var log controltest.Log
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, cfg, open, newLogger(&log)) }()

	if got := awaitReady(t, systemd); got != "READY=1\nSTATUS=enforcing" {
		t.Errorf("systemd was told %q\n%s", got, log.String())
	}
	client := client.New(cfg.socket)
	defer client.Close()
	if st, err := client.Status(ctx); err != nil || st.Summary != "enforcing" || st.Active == nil || !st.Active.Boot || st.EngineReason != "the test has it" {
		t.Errorf("status %+v, %v", st, err)
	}
	if err := serve(ctx, cfg, open, newLogger(&log)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second daemon on the same state: %v, want ErrLocked", err)
	}
	other := cfg
	other.state = filepath.Join(dir, "other")
	if err := serve(ctx, other, open, newLogger(&log)); !errors.Is(err, server.ErrInUse) {
		t.Errorf("second daemon on the same socket: %v, want ErrInUse", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	got := heard(t, systemd)
	for isStarting(got) { // the two others
		got = heard(t, systemd)
	}
	if got != "STOPPING=1" {
		t.Errorf("systemd was told %q at the end", got)
	}
	if !strings.Contains(log.String(), "stopped; the kernel goes on enforcing") {
		t.Errorf("the log does not say what goes on:\n%s", log.String())
	}
}

// TestStartsInSpite: what is not needed for the policy that is to be active is a problem
// and stops nothing. Where no policy is left that could be, the start fails.
func TestStartsInSpite(t *testing.T) {
	boot := []byte("policy_name=boot policy_version=0.0.1\nDEFAULT action=DENY\n")
	write := func(mode fs.FileMode, text []byte) func(string) error {
		return func(path string) error { return errors.Join(os.WriteFile(path, text, mode), os.Chmod(path, mode)) }
	}
	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
		flags   string
		problem string // empty for a start that fails
		err     string
	}{
		{"trust is gone", write(0o600, boot), "--boot-policy DIR/x --trust DIR/gone", "gone: no such file or directory", ""},
		{"records have no place", write(0o600, boot), "--boot-policy DIR/x --audit file:DIR/gone/records", "audit sink file:", ""},
		{"records can be removed", write(0o600, boot), "--boot-policy DIR/x --audit file:DIR/open/records", "records may be removed by others", ""},
		{"policies of others", write(0o600, boot), "--boot-policy DIR/x --policy-dir DIR/open", "chmod go-w DIR/open", ""},
		{"state of others", write(0o600, boot), "--boot-policy DIR/x --state DIR/open/state", "may be forged", ""},
		{"stray file", func(dir string) error {
			return errors.Join(write(0o600, boot)(dir), os.MkdirAll(filepath.Dir(dir)+"/state", 0o700), write(0o600, nil)(filepath.Dir(dir)+"/state/index.bak"))
		}, "--boot-policy DIR/x", "does not belong here", ""},
		{"boot policy is gone", func(string) error { return nil }, "--boot-policy DIR/x", "", "no such file or directory"},
		{"the same, to be repaired", func(string) error { return nil }, "--boot-policy DIR/x --repair", "read boot policy", ""},
		{"boot policy of others", write(0o622, boot), "--boot-policy DIR/x", "", "chmod go-w DIR/x"},
		{"state is lost", func(path string) error { return os.MkdirAll(filepath.Dir(path)+"/state/policies", 0o700) }, "", "", "floors are lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(tt.prepare(dir+"/x"), os.Mkdir(dir+"/open", 0o700), os.WriteFile(dir+"/open/x.p7b", []byte("x"), 0o600), os.Chmod(dir+"/open", 0o777)); err != nil {
				t.Fatal(err)
			}
			flags := strings.Fields(strings.ReplaceAll("--policy-dir= --state DIR/state --socket DIR/run/s "+tt.flags, "DIR", dir))
			cfg, err := parseFlags(flags, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			st, err := startedDaemon(t, cfg)
			want := strings.ReplaceAll(tt.err, "DIR", dir)
			if tt.problem == "" {
				if !errors.Is(err, control.ErrUnguarded) || !strings.Contains(err.Error(), want) || len(hint.All(err)) == 0 {
					t.Errorf("ended with %v, want %q", err, want)
				}
				return
			}
			if got := strings.Join(st.Problems, "\n"); err != nil || !strings.Contains(got, strings.ReplaceAll(tt.problem, "DIR", dir)) {
				t.Errorf("%v, problems %q, want %q", err, st.Problems, tt.problem)
			}
		})
	}
}

// startedDaemon runs a daemon without a kernel until it has told its status, or ends.
func startedDaemon(t *testing.T, cfg config) (st api.Status, err error) {
	t.Helper()
	eng := controltest.NewEngine()
	open := func(config, *trusted, *slog.Logger) (opened, error) { return opened{eng, "the test has it"}, nil }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, cfg, open, newLogger(io.Discard)) }()
	client := client.New(cfg.socket)
	defer client.Close()
	for {
		select {
		case err := <-done:
			return st, err
		case <-time.After(5 * time.Millisecond):
		}
		if st, err = client.Status(ctx); err == nil {
			stop()
			return st, <-done
		}
	}
}

// TestPulse: systemd hears of a daemon that answers, and of no other.
func TestPulse(t *testing.T) {
	systemd := asSystemd(t)
	var log controltest.Log
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ask := func() bool { t.Error("asked, though systemd does not want to know"); return true }
	pulse(ctx, newLogger(&log), ask)

	t.Setenv("WATCHDOG_USEC", "30000")
	var alive, asked atomic.Int64
	alive.Store(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pulse(ctx, newLogger(&log), func() bool { asked.Add(1); return alive.Load() != 0 })
	}()
	for range 3 {
		if got := heard(t, systemd); got != "WATCHDOG=1" {
			t.Errorf("systemd was told %q", got)
		}
	}
	alive.Store(0)
	askedAgain := func(times int64) {
		t.Helper()
		if before := asked.Load(); !await.Until(func() bool { return asked.Load() >= before+times }) {
			t.Fatal("nobody asks whether it is alive")
		}
	}
	askedAgain(2)
	if err := systemd.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	var err error
	for b := make([]byte, 64); err == nil; {
		_, err = systemd.Read(b) // what was sent before
	}
	askedAgain(3)
	if err := systemd.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := systemd.Read(make([]byte, 64)); err == nil {
		t.Errorf("systemd heard %d bytes from a daemon that does not answer", n)
	}
	stop()
	<-done
}

// isStarting reports whether systemd is asked for more time.
func isStarting(state string) bool { return strings.HasPrefix(state, "EXTEND_TIMEOUT_USEC=") }

// awaitReady returns what systemd is told after the start; more time is asked for first.
func awaitReady(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	steps := 0
	for {
		got := heard(t, c)
		if !isStarting(got) {
			if steps == 0 {
				t.Error("systemd was not asked for time to start")
			}
			return got
		}
		steps++
	}
}

func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatalf("systemd hears nothing: %v", err)
	}
	return string(b[:n])
}
