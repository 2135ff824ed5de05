package control_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/sign"
)

// TestSession is the session of section 4.11 of the semantics, step by step.
func TestSession(t *testing.T) {
	t.Run("programs", func(t *testing.T) {
		m := newMachine(t)
		m.boot = text("boot", "0.0.0")
		session(t, m)
	})
	t.Run("kernel", func(t *testing.T) {
		m := newMachine(t)
		m.kernel = controltest.NewKernel(text("boot", "0.0.0"))
		session(t, m)
	})
}

func session(t *testing.T, m *machine) {
	c := m.started()
	stranger := controltest.NewSigner(t, "stranger")
	active := func(name string) {
		t.Helper()
		if s := c.Status(); s.Active == nil || s.Active.Name != name {
			t.Errorf("active is %+v, want %s", s.Active, name)
		}
	}
	load := func(b []byte) error { _, err := c.Load(b); return err }
	update := func(b []byte) error { _, err := c.Update("site", b); return err }
	active("boot")
	for _, step := range []struct {
		name   string
		do     func() error
		want   unix.Errno
		active string
	}{
		{"load site 1.0.0", func() error { return load(m.signed("site", "1.0.0")) }, 0, "boot"},
		{"same again", func() error { return load(m.signed("site", "1.0.0")) }, unix.EEXIST, "boot"},
		{"activate it", func() error { return c.Activate("site") }, 0, "site"},
		{"and again", func() error { return c.Activate("site") }, 0, "site"},
		{"back to boot", func() error { return c.Activate("boot") }, unix.EINVAL, "site"},
		{"delete the active", func() error { return c.Delete("site") }, unix.EPERM, "site"},
		{"delete boot", func() error { return c.Delete("boot") }, 0, "site"},
		{"update, same version", func() error { return update(m.signed("site", "1.0.0")) }, unix.ESTALE, "site"},
		{"update, other name", func() error { return update(m.signed("other", "2.0.0")) }, unix.EINVAL, "site"},
		{"update", func() error { return update(m.signed("site", "1.0.1")) }, 0, "site"},
		{"unsigned text", func() error { return load([]byte(text("x", "1.0.0"))) }, unix.EBADMSG, "site"},
		{"a stranger's", func() error { return load(stranger.Sign(t, text("x", "1.0.0"))) }, unix.ENOKEY, "site"},
	} {
		wantErrno(t, step.name, step.do(), step.want)
		active(step.active)
	}
	if got := c.Status().Active.Version; got != "1.0.1" {
		t.Errorf("active version %s, want 1.0.1", got)
	}
	wantSummary(t, c, "enforcing")
}

func TestRefusals(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	if _, err := c.Load(m.signed("site", "2.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	load := func(policy string) error { _, err := c.Load(m.signer.Sign(t, policy)); return err }
	tests := []struct {
		name string
		err  error
		want unix.Errno
	}{
		{"slash", load(text("a/b", "1.0.0")), unix.EACCES},
		{"dot", load(text(".", "1.0.0")), unix.EACCES},
		{"dots", load(text("..", "1.0.0")), unix.EACCES},
		{"255 bytes", load(text(strings.Repeat("n", 255), "1.0.0")), 0},
		{"256 bytes", load(text(strings.Repeat("n", 256), "1.0.0")), unix.ENAMETOOLONG},
		{"bad text", load("policy_name=x"), unix.EBADMSG},
		{"bad version", load(text("x", "1.x.0")), unix.EINVAL},
		{"big version", load(text("x", "1.0.70000")), unix.ERANGE},
		{"empty content", load(""), unix.EBADMSG},
		{"empty message", func() error { _, err := c.Load(nil); return err }(), unix.EBADMSG},
		{"long message", func() error { _, err := c.Load(make([]byte, 65536)); return err }(), unix.EMSGSIZE},
		{"activate what is not there", c.Activate("gone"), unix.ENOENT},
		{"delete what is not there", c.Delete("gone"), unix.ENOENT},
		{"update what is not there", func() error { _, err := c.Update("gone", nil); return err }(), unix.ENOENT},
		{"load an older one", load(text("old", "1.0.0")), 0},
		{"activate an older one", c.Activate("old"), unix.EINVAL},
		{"load an equal one", load(text("equal", "2.0.0")), 0},
		{"activate an equal one", c.Activate("equal"), 0},
	}
	for _, tt := range tests {
		wantErrno(t, tt.name, tt.err, tt.want)
	}
}

// TestFloorSurvives is what the kernel's own IPE does not do.
func TestFloorSurvives(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	for _, err := range []error{
		func() error { _, err := c.Load(m.signed("site", "2.0.0")); return err }(),
		c.Activate("site"),
		func() error { _, err := c.Load(m.signed("other", "9.0.0")); return err }(),
		c.Activate("other"),
		c.Delete("site"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m.engine = controltest.NewEngine() // a reboot forgets what the kernel held
	c = m.started()
	_, err := c.Load(m.signed("site", "1.9.9"))
	wantErrno(t, "older than the floor", err, unix.ESTALE)
	_, err = c.Load(m.signed("site", "2.0.0"))
	wantErrno(t, "the floor itself", err, 0)
	wantSummary(t, c, "enforcing")
}

func TestEngineRefuses(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	for _, v := range []string{"a", "b"} {
		if _, err := c.Load(m.signed(v, "1.0.0")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Activate("a"); err != nil {
		t.Fatal(err)
	}
	m.engine.BeforeActivate = func(engine.Active) error { return unix.ENOMEM }
	wantErrno(t, "activate", c.Activate("b"), unix.ENOMEM)
	_, err := c.Update("a", m.signed("a", "1.1.0"))
	wantErrno(t, "update", err, unix.ENOMEM)
	m.engine.ModeErr = unix.EIO
	wantErrno(t, "mode", c.setMode(api.Mode{}), unix.EIO)
	if !c.Mode().Enforce {
		t.Error("refused mode was kept")
	}
	m.engine.BeforeActivate, m.engine.ModeErr = nil, nil
	if s := c.Status(); s.Active.Name != "a" || s.Active.Version != "1.0.0" || s.Summary != "enforcing" {
		t.Errorf("after refusals: %s, active %+v", s.Summary, s.Active)
	}
	if name, _ := m.store.Active(); name != "a" {
		t.Errorf("stored active is %q, want a", name)
	}
	_, err = c.Update("a", m.signed("a", "1.0.1"))
	wantErrno(t, "lower update after the refused one", err, 0)
}

// TestRestartAdopts: what the engine enforces is not touched by a restart.
func TestRestartAdopts(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Activate("site"), c.setMode(api.Mode{SuccessAudit: true})); err != nil {
		t.Fatal(err)
	}
	before := m.engine.Activations
	c = m.started()
	if m.engine.Activations != before {
		t.Error("restart activated again what was in force")
	}
	if c.Mode() != (api.Mode{SuccessAudit: true}) {
		t.Errorf("mode %+v did not survive", c.Mode())
	}
	wantSummary(t, c, "permissive")
	m.engine = controltest.NewEngine()
	c = m.started()
	if m.engine.Activations != 1 {
		t.Error("reboot did not activate the stored policy")
	}
	wantSummary(t, c, "permissive")
}

// TestNoLongerTrusted: a withdrawn certificate is a problem, and deletes nothing.
func TestNoLongerTrusted(t *testing.T) {
	m := newMachine(t)
	m.boot = text("boot", "0.0.1")
	c := m.started()
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	old := m.signer
	m.signer = controltest.NewSigner(t, "new signer")

	c, err := m.start() // the kernel still holds the policy
	wantErrno(t, "start", err, unix.EKEYREJECTED)
	if !errors.Is(err, sign.ErrUntrusted) {
		t.Errorf("start: %v does not say why", err)
	}
	s := c.Status()
	if s.Summary != "enforcing" || s.Active.Name != "site" || len(s.Problems) != 1 || s.Active.Error == "" {
		t.Errorf("in force: summary %q, active %+v, problems %q", s.Summary, s.Active, s.Problems)
	}

	m.engine = controltest.NewEngine() // after a reboot it does not
	c, err = m.start()
	wantErrno(t, "start", err, unix.EKEYREJECTED)
	s = c.Status()
	if s.Active == nil || s.Active.Name != "boot" || len(s.Problems) != 1 {
		t.Errorf("after reboot: active %+v, problems %q", s.Active, s.Problems)
	}
	wantErrno(t, "activate it", c.Activate("site"), unix.EKEYREJECTED)
	_, err = c.Update("site", m.signed("site", "1.0.1"))
	wantErrno(t, "update by the new signer", err, 0)
	if s := c.Status(); s.Active.Version != "1.0.1" || len(s.Problems) != 0 {
		t.Errorf("after update: active %+v, problems %q", s.Active, s.Problems)
	}

	m.signer = old
	if c, err = m.start(); err == nil || len(c.List()) != 2 {
		t.Errorf("old keyring: error %v, policies %v; want one error and both policies", err, c.List())
	}
}

func TestBrokenBootPolicy(t *testing.T) {
	m := newMachine(t)
	m.boot = "policy_name=boot"
	c, err := m.start()
	wantErrno(t, "start", err, unix.EBADMSG)
	s := c.Status()
	if s.Summary != "no policy: everything is allowed" || len(s.Problems) != 1 {
		t.Errorf("summary %q, problems %q", s.Summary, s.Problems)
	}
}

func TestErrnoOfUnknown(t *testing.T) {
	if got := errno.Symbol(errors.New("x")); got != "EIO" {
		t.Errorf("unknown error is %s, want EIO", got)
	}
	if got := errno.Symbol(nil); got != "" {
		t.Errorf("no error is %q", got)
	}
}

// TestLoadConforms puts every vector, signed, to Load and compares errno with
// what a kernel answers.
func TestLoadConforms(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	for _, k := range conformance.ParseCases() {
		if !k.Live {
			continue
		}
		envelope := k.Text // if it is longer than any message, whatever carries it is refused for that
		if len(k.Text) <= sign.MaxLen {
			envelope = m.signer.Sign(t, string(k.Text))
		}
		info, err := c.Load(envelope)
		got := "OK"
		if err != nil {
			got = errno.Symbol(err)
		}
		if got != k.Load {
			t.Errorf("case %s (%s): %s, want %s: %v", k.ID, k.Why, got, k.Load, err)
		}
		if err != nil {
			continue
		}
		if err := c.Delete(info.Name); err != nil {
			t.Errorf("case %s: %v", k.ID, err)
		}
	}
}
