package control_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/errno"
)

// machine is a store, an engine and keys that outlive the daemon.
type machine struct {
	tb     testing.TB
	dir    string
	engine *controltest.Engine
	signer *controltest.Signer
	store  *store.Store
	// kernel, if there is one, is in the place of engine.
	kernel *controltest.Kernel
	boot   string
	// bootErr is why there is no boot policy.
	bootErr error
	mode    control.BootMode
	sinks   []trail.Sink
	// preflight looks before a policy begins to deny.
	preflight control.Preflight
	// wrap puts something between control and store.
	wrap func(control.Store) control.Store
}

func newMachine(tb testing.TB) *machine {
	m := &machine{tb: tb, dir: filepath.Join(tb.TempDir(), "state"), engine: controltest.NewEngine(),
		signer: controltest.NewSigner(tb, "signer")}
	tb.Cleanup(m.stop)
	return m
}

// running is a daemon, and somebody without a name who asks it.
type running struct {
	*control.Control
	control.Actor
}

func newRunning(cfg control.Config) *running {
	c := control.New(cfg)
	return &running{c, c.By(audit.Nobody())}
}

// setMode changes both switches.
func (r *running) setMode(m api.Mode) error {
	_, err := r.ChangeMode(api.ModeChange{Enforce: &m.Enforce, SuccessAudit: &m.SuccessAudit})
	return err
}

// start runs a new daemon on the machine; its problems are returned.
func (m *machine) start() (*running, error) {
	m.tb.Helper()
	m.stop()
	st, err := store.Open(m.dir)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.store = st
	var s control.Store = st
	if m.wrap != nil {
		s = m.wrap(s)
	}
	cfg := control.Config{Store: s, Verifier: control.Certificates(m.signer.Keyring()), Engine: m.engine, Boot: []byte(m.boot), BootErr: m.bootErr, Mode: m.mode, Preflight: m.preflight, Sinks: m.sinks}
	if m.kernel != nil {
		cfg.Engine, cfg.Verifier = m.kernel, control.KernelToo(m.signer.Keyring())
	}
	c := newRunning(cfg)
	return c, c.Start()
}

// started is start without problems.
func (m *machine) started() *running {
	m.tb.Helper()
	c, err := m.start()
	if err != nil {
		m.tb.Fatal(err)
	}
	return c
}

func (m *machine) stop() {
	if m.store != nil {
		m.store.Close()
		m.store = nil
	}
}

// text is a policy that denies what has no trust.
func text(name, version string) string {
	return fmt.Sprintf("policy_name=%s policy_version=%s\nDEFAULT action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\n", name, version)
}

func (m *machine) signed(name, version string) []byte {
	return m.signer.Sign(m.tb, text(name, version))
}

func wantErrno(t testing.TB, what string, err error, want unix.Errno) {
	t.Helper()
	if got := errno.Of(err); got != want {
		t.Errorf("%s: errno %v (%v), want %v", what, unix.ErrnoName(got), err, unix.ErrnoName(want))
	}
}

func wantSummary(t testing.TB, c *running, want string) {
	t.Helper()
	if s := c.Status(); s.Summary != want {
		t.Errorf("summary %q, want %q", s.Summary, want)
	}
}
