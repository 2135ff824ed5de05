//go:build !guest

package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/errno"
)

// reloads is an iped that trusts a directory and a file.
type reloads struct {
	t       *testing.T
	cfg     config
	dir     string
	systemd *net.UnixConn
	client  *client.Client
}

func newReloads(t *testing.T) *reloads {
	t.Helper()
	cfg := stored(t)
	r := &reloads{t: t, cfg: cfg, dir: filepath.Join(t.TempDir(), "trust.d")}
	r.cfg.trust = append(r.cfg.trust, r.dir)
	r.systemd = asSystemd(t)
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	begun(t, r.cfg, opened{controltest.NewEngine(), "the test has it"})
	awaitReady(t, r.systemd)
	r.client = client.New(cfg.socket)
	t.Cleanup(func() { r.client.Close() })
	return r
}

// reload has iped reload, and returns what systemd and everybody hear of it.
func (r *reloads) reload() (told string, s api.Status) {
	r.t.Helper()
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	if got := heard(r.t, r.systemd); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		r.t.Errorf("systemd was told %q first", got)
	}
	told = heard(r.t, r.systemd)
	s, err := r.client.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return told, s
}

func (r *reloads) trust(name string, s *controltest.Signer) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), s.Keyring().Certificates()[0].Raw, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

const reloadedWell = "READY=1\nSTATUS=enforcing"

// TestReloadReadsCertificates: one that is added counts, and one that is gone does not;
// what decides goes on.
func TestReloadReadsCertificates(t *testing.T) {
	r := newReloads(t)
	second := controltest.NewSigner(t, "second")
	message := second.Sign(t, "policy_name=second policy_version=1.0.0\nDEFAULT action=DENY\n")
	if _, err := r.client.Load(t.Context(), message); err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("before: %v", err)
	}
	r.trust("second.crt", second)
	if told, s := r.reload(); told != reloadedWell || s.Trust.Certificates != 2 || len(s.Problems) != 0 {
		t.Errorf("systemd was told %q, trust %+v, problems %q", told, s.Trust, s.Problems)
	}
	if _, err := r.client.Load(t.Context(), message); err != nil {
		t.Errorf("after: %v", err)
	}
	if err := os.Remove(filepath.Join(r.dir, "second.crt")); err != nil {
		t.Fatal(err)
	}
	told, s := r.reload()
	if !strings.HasPrefix(told, reloadedWell+"; reload: ") || s.Trust.Certificates != 1 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], `policy second`) {
		t.Errorf("systemd was told %q, trust %+v, problems %q", told, s.Trust, s.Problems)
	}
	if s.Active == nil || s.Active.Name != "site" || !s.Enforcing {
		t.Errorf("active %+v, %q", s.Active, s.Summary)
	}
	if _, err := r.client.Activate(t.Context(), "second"); err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("the policy of a signer who is gone: %v", err)
	}
}

// TestReloadAnswers: whoever asks by the socket hears nothing until all has been read, and
// then what went wrong, as everybody else does.
func TestReloadAnswers(t *testing.T) {
	r := newReloads(t)
	second := controltest.NewSigner(t, "second")
	r.trust("second.crt", second)
	got, err := r.client.Reload(t.Context())
	if err != nil || got.Certificates != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := r.client.Load(t.Context(), second.Sign(t, "policy_name=second policy_version=1.0.0\nDEFAULT action=DENY\n")); err != nil {
		t.Errorf("right after the answer: %v", err)
	}
	if began, told := heard(t, r.systemd), heard(t, r.systemd); !strings.HasPrefix(began, "RELOADING=1\n") || told != reloadedWell {
		t.Errorf("systemd was told %q and %q", began, told)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	_, err = r.client.Reload(t.Context())
	var refusal *api.Error
	if !errors.As(err, &refusal) || refusal.Errno != "ENOENT" || !strings.Contains(refusal.Message, "still count") {
		t.Errorf("%+v", err)
	}
	if began, told := heard(t, r.systemd), heard(t, r.systemd); !strings.HasPrefix(began, "RELOADING=1\n") || !strings.Contains(told, "; reload: ") {
		t.Errorf("systemd was told %q and %q", began, told)
	}
}

// TestReloadAtTheEnd: an iped that stops lets nobody wait for a reload that never comes.
func TestReloadAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := reloading{d: &daemon{asked: make(chan chan<- error)}}.Reload(ctx)
	if got := errno.Symbol(err); got != "ESHUTDOWN" {
		t.Errorf("%v, want ESHUTDOWN", err)
	}
}

// TestReloadThatFails keeps whom it trusted, and says so everywhere, until it succeeds. A
// stray file beside the certificates is no failure.
func TestReloadThatFails(t *testing.T) {
	r := newReloads(t)
	r.trust("second.crt", controltest.NewSigner(t, "second"))
	if err := os.WriteFile(filepath.Join(r.dir, "stray.pem"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if told, s := r.reload(); told != reloadedWell || s.Trust.Certificates != 2 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "stray.pem") {
		t.Errorf("systemd was told %q, trust %+v, problems %q", told, s.Trust, s.Problems)
	}
	away := r.dir + "-away"
	if err := errors.Join(os.Rename(r.dir, away), os.Rename(r.cfg.trust[0], away+".der")); err != nil {
		t.Fatal(err)
	}
	told, s := r.reload()
	if !strings.HasPrefix(told, reloadedWell+"; reload: ") || !strings.Contains(told, "still count") || strings.Count(told, "\n") != 1 {
		t.Errorf("systemd was told %q", told)
	}
	if got := strings.Join(s.Problems, "\n"); s.Trust.Certificates != 2 || !strings.Contains(got, "still count") || !s.Enforcing {
		t.Errorf("trust %+v, problems %q", s.Trust, s.Problems)
	}
	if err := errors.Join(os.Rename(away, r.dir), os.Rename(away+".der", r.cfg.trust[0]), os.Remove(filepath.Join(r.dir, "stray.pem"))); err != nil {
		t.Fatal(err)
	}
	if told, s := r.reload(); told != reloadedWell || s.Trust.Certificates != 2 || len(s.Problems) != 0 {
		t.Errorf("systemd was told %q, trust %+v, problems %q", told, s.Trust, s.Problems)
	}
}

// TestReloadDuringStart waits for the end of the start, and ends no process.
func TestReloadDuringStart(t *testing.T) {
	cfg := stored(t)
	systemd := asSystemd(t)
	eng := &slowEngine{controltest.NewEngine(), make(chan struct{}), make(chan struct{})}
	begun(t, cfg, opened{eng, "the test has it"})
	<-eng.recalls
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	close(eng.release)
	if got := awaitReady(t, systemd); got != reloadedWell {
		t.Errorf("systemd was told %q", got)
	}
	if got := heard(t, systemd); !strings.HasPrefix(got, "RELOADING=1\n") {
		t.Errorf("systemd was told %q", got)
	}
	if got := heard(t, systemd); got != reloadedWell {
		t.Errorf("systemd was told %q", got)
	}
	awaitStatus(t, cfg, func(s api.Status) bool { return s.Enforcing })
}
