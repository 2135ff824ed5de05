//go:build !guest

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/engine/securityfs"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// slowEngine is an engine whose Recall ends when it is let go.
type slowEngine struct {
	*controltest.Engine
	recalls chan struct{}
	release chan struct{}
}

func (e *slowEngine) Recall() {
	e.recalls <- struct{}{}
	<-e.release
}

// stored makes a machine with an active policy, and returns how iped is to run there.
func stored(t *testing.T) config {
	t.Helper()
	dir := t.TempDir()
	signer := controltest.NewSigner(t, "owner")
	cfg := config{engine: engineAuto, state: filepath.Join(dir, "state"), socket: filepath.Join(dir, "run", "s"), trust: []string{filepath.Join(dir, "owner.der")}}
	if err := os.WriteFile(cfg.trust[0], signer.Keyring().Certificates()[0].Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(cfg.state)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	c := control.New(control.Config{Store: st, Verifier: control.Certificates(signer.Keyring()), Engine: controltest.NewEngine()}).
		By(audit.Nobody())
	_, err = c.Load(signer.Sign(t, "policy_name=site policy_version=1.0.0\nDEFAULT action=DENY\n"))
	if err = errors.Join(err, c.Activate("site")); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// begun runs iped on eng until the test ends, and returns its end.
func begun(t *testing.T, cfg config, eng opened) (ended chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	var log controltest.Log
	open := func(config, *trusted, *slog.Logger) (opened, error) { return eng, nil }
	go func() { ended <- serve(ctx, cfg, open, newLogger(&log)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v\n%s", err, log.String())
		}
	})
	return ended
}

// awaitStatus waits until iped answers, and until its problems are as wanted.
func awaitStatus(t *testing.T, cfg config, want func(api.Status) bool) api.Status {
	t.Helper()
	var s api.Status
	if !await.Until(func() bool {
		client := client.New(cfg.socket)
		defer client.Close()
		got, err := client.Status(t.Context())
		if err == nil {
			s = got
		}
		return err == nil && want(s)
	}) {
		t.Fatalf("status is %+v", s)
	}
	return s
}

// TestEnforcesDespite: what is wrong beside the active policy is a problem, and the
// policy decides.
func TestEnforcesDespite(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil   func(c *config, gone string)
		problem string
	}{
		"a sink":           {func(c *config, gone string) { c.audit.sinks = []string{"file:" + gone + "/records"} }, "audit sink file:"},
		"boot policy":      {func(c *config, gone string) { c.bootPolicy = gone }, "read boot policy"},
		"a trust path":     {func(c *config, gone string) { c.trust = append(c.trust, gone) }, "read trust"},
		"policy directory": {func(c *config, gone string) { c.policyDirs = []string{c.trust[0]} }, "owner.der"},
		"control tree":     {func(c *config, gone string) { c.fs = c.trust[0] + "/tree" }, "control tree"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := stored(t)
			tt.spoil(&cfg, filepath.Join(t.TempDir(), "gone"))
			begun(t, cfg, opened{controltest.NewEngine(), "the test has it"})
			s := awaitStatus(t, cfg, func(s api.Status) bool { return len(s.Problems) > 0 })
			if !s.Enforcing || s.Active == nil || s.Active.Name != "site" || !strings.Contains(s.Problems[0], tt.problem) {
				t.Errorf("summary %q, active %+v, problems %q", s.Summary, s.Active, s.Problems)
			}
		})
	}
}

// TestSinkOpensLater: a sink whose directory comes later is opened at SIGHUP, and gets
// what was recorded before.
func TestSinkOpensLater(t *testing.T) {
	cfg := stored(t)
	dir := filepath.Join(t.TempDir(), "later")
	cfg.audit = auditConfig{sinks: []string{"file:" + dir + "/records"}, files: 2}
	begun(t, cfg, opened{controltest.NewEngine(), "the test has it"})
	awaitStatus(t, cfg, func(s api.Status) bool { return len(s.Problems) == 1 })
	if err := errors.Join(os.Mkdir(dir, 0o700), unix.Kill(os.Getpid(), unix.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, cfg, func(s api.Status) bool {
		return len(s.Problems) == 0 && len(s.Sinks) > 0 && s.Sinks[0].Written > 0
	})
	text, err := os.ReadFile(filepath.Join(dir, "records"))
	if err != nil || !strings.Contains(string(text), "new_active_pol_name=\"site\"") {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// TestSocketFailsLast: iped that cannot listen fails, and the kernel enforces.
func TestSocketFailsLast(t *testing.T) {
	cfg := stored(t)
	cfg.socket = cfg.trust[0] + "/run/s"
	eng := controltest.NewEngine()
	open := func(config, *trusted, *slog.Logger) (opened, error) { return opened{eng, ""}, nil }
	if err := serve(t.Context(), cfg, open, slog.New(slog.DiscardHandler)); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("ended with %v", err)
	}
	if st, err := eng.State(); err != nil || !st.HasPolicy || eng.Activations != 1 {
		t.Errorf("%+v after %d activations, %v", st, eng.Activations, err)
	}
}

// TestSocketFailsAfterFiles: so it is where the policy comes with the machine.
func TestSocketFailsAfterFiles(t *testing.T) {
	signer := controltest.NewSigner(t, "owner")
	cfg := stored(t)
	cfg.state += "-fresh"
	cfg.policyDirs = []string{t.TempDir()}
	err := errors.Join(os.WriteFile(cfg.trust[0], signer.Keyring().Certificates()[0].Raw, 0o600),
		os.WriteFile(filepath.Join(cfg.policyDirs[0], "site.p7b"), signer.Sign(t, "policy_name=site policy_version=1.0.0\nDEFAULT action=DENY\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	cfg.socket = cfg.trust[0] + "/run/s"
	eng := controltest.NewEngine()
	open := func(config, *trusted, *slog.Logger) (opened, error) { return opened{eng, ""}, nil }
	if err := serve(t.Context(), cfg, open, slog.New(slog.DiscardHandler)); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("ended with %v", err)
	}
	if st, err := eng.State(); err != nil || !st.HasPolicy {
		t.Errorf("%+v, %v", st, err)
	}
}

// asSystemd hears what this process tells systemd, until the test ends.
func asSystemd(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

// TestEnforcesBeforeRecall: what takes long follows; systemd is asked for time
// meanwhile, and told of readiness after that.
func TestEnforcesBeforeRecall(t *testing.T) {
	cfg := stored(t)
	systemd := asSystemd(t)
	eng := &slowEngine{controltest.NewEngine(), make(chan struct{}), make(chan struct{})}
	begun(t, cfg, opened{eng, "the test has it"})
	<-eng.recalls
	if st, err := eng.State(); err != nil || !st.HasPolicy || !st.Mode.Enforce {
		t.Errorf("during the recall the kernel has %+v, %v", st, err)
	}
	close(eng.release)
	if got := awaitReady(t, systemd); got != "READY=1\nSTATUS=enforcing" {
		t.Errorf("systemd was told %q", got)
	}
}

// TestStartAsksForTime: as long as steps are made, and no longer.
func TestStartAsksForTime(t *testing.T) {
	systemd := asSystemd(t)
	asks := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=starting: ", extension.Microseconds())
	synctest.Test(t, func(t *testing.T) {
		var log controltest.Log
		s := &starting{log: newLogger(&log), done: make(chan struct{}), name: "one", since: time.Now()}
		told := func(want string) {
			t.Helper()
			if got := heard(t, systemd); got != asks+want {
				t.Errorf("systemd was told %q", got)
			}
		}
		s.extend()
		told("one")
		time.Sleep(stepLimit)
		s.extend()
		told("one")
		s.step("two")
		told("two")
		time.Sleep(stepLimit + time.Second)
		s.extend()
		if !strings.Contains(log.String(), `msg="the start hangs" step=two`) {
			t.Errorf("the log has %s", log.String())
		}
		s.step("three")
		told("three")
		s.end()
		s.end()
	})
}

// TestEndsTogether: when the server ends because iped is to, whichever is seen first, iped
// ends.
func TestEndsTogether(t *testing.T) {
	over, stop := context.WithCancel(t.Context())
	stop()
	for range 100 {
		served := beside(func() error { return nil })
		if !await.Until(func() bool { return len(served) == 1 }) {
			t.Fatal("nothing ran")
		}
		if err := firstEnd(over, served, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
	failed := beside(func() error { return io.EOF })
	if first, second := <-failed, <-failed; first != io.EOF || second != nil {
		t.Errorf("%v, then %v", first, second)
	}
}

// TestEngineNames: engines are called what --engine and ipe call them.
func TestEngineNames(t *testing.T) {
	for want, e := range map[string]engine.Engine{api.EngineBPF: (*bpf.Engine)(nil), api.EngineSecurityfs: (*securityfs.Engine)(nil)} {
		if got := e.Name(); got != want {
			t.Errorf("the engine is called %q, want %q", got, want)
		}
	}
}
