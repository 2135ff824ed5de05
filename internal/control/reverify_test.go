package control_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/sign"
)

// changing is a verifier that trusts others from one moment to the next.
type changing struct{ ring *sign.Keyring }

func (v *changing) Verify(message []byte) (control.Verified, error) {
	return control.Certificates(v.ring).Verify(message)
}

func (v *changing) Trust() api.Trust { return control.Certificates(v.ring).Trust() }

// trusting starts m with a verifier that trusts whom the test says.
func (m *machine) trusting(v *changing) *running {
	m.tb.Helper()
	m.stop()
	var err error
	if m.store, err = store.Open(m.dir); err != nil {
		m.tb.Fatal(err)
	}
	c := newRunning(control.Config{Store: m.store, Verifier: v, Engine: m.engine, Boot: []byte(m.boot)})
	_ = c.Start() // what is not trusted is a problem, which the tests ask for
	return c
}

// TestTrustWithdrawn: the policy that decides goes on, and cannot come back once another
// is active; one that is not active cannot become so; both until they are trusted again.
func TestTrustWithdrawn(t *testing.T) {
	m := newMachine(t)
	v := &changing{m.signer.Keyring()}
	c := m.trusting(v)
	for _, name := range []string{"site", "spare"} {
		must[api.Info](t)(c.Load(m.signed(name, "1.0.0")))
	}
	must[api.Info](t)(c.Load(m.signed("later", "2.0.0")))
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	if err := c.Reverify(); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	v.ring = nil
	if err := c.Reverify(); !errors.Is(err, sign.ErrUntrusted) || !errors.Is(err, api.ErrUnverified) {
		t.Errorf("nobody is trusted: %v", err)
	}
	s := c.Status()
	if s.Summary != "enforcing" || s.Active == nil || s.Active.Name != "site" || s.Active.Error == "" || len(s.Problems) != 3 || m.engine.Activations != 1 {
		t.Errorf("without trust: %q, active %+v, problems %q, %d activations", s.Summary, s.Active, s.Problems, m.engine.Activations)
	}
	wantErrno(t, "activate what nobody vouches for", c.Activate("spare"), unix.EKEYREJECTED)
	if err := c.Activate("site"); err != nil {
		t.Errorf("what is active: %v", err)
	}
	v.ring = m.signer.Keyring()
	if err := c.Reverify(); err != nil {
		t.Errorf("trusted again: %v", err)
	}
	if s := c.Status(); s.Summary != "enforcing" || len(s.Problems) != 0 || s.Active.Error != "" || m.engine.Activations != 1 {
		t.Errorf("trusted again: %q, %+v, problems %q", s.Summary, s.Active, s.Problems)
	}
	if err := c.Activate("later"); err != nil {
		t.Errorf("trusted again: %v", err)
	}
}

// TestTrustComesLate: the policy that was to be active becomes so when its signer is
// trusted, and takes the place of the boot policy; no other becomes active.
func TestTrustComesLate(t *testing.T) {
	m, _ := deployedMachine(t)
	m.boot, m.engine = text("boot", "0.0.1"), controltest.NewEngine() // it was booted anew
	v := &changing{controltest.NewSigner(t, "another").Keyring()}
	c := m.trusting(v)
	if s := c.Status(); s.Active == nil || s.Active.Name != "boot" || len(s.Problems) == 0 {
		t.Fatalf("before: %+v, problems %q", s.Active, s.Problems)
	}
	v.ring = m.signer.Keyring()
	if err := c.Reverify(); err != nil {
		t.Errorf("trusted: %v", err)
	}
	if s := c.Status(); s.Summary != "enforcing" || s.Active.Name != "site" || len(s.Problems) != 0 {
		t.Errorf("after: %q, %+v, problems %q", s.Summary, s.Active, s.Problems)
	}
}

// TestTrustOfKernelsPolicies: what a kernel with IPE itself holds stays usable, for the
// kernel has verified it; whom nobody vouches for here any longer is told.
func TestTrustOfKernelsPolicies(t *testing.T) {
	m := newMachine(t)
	m.kernel = controltest.NewKernel("")
	v := &changing{m.signer.Keyring()}
	m.start()
	c := newRunning(control.Config{Store: m.store, Verifier: v, Engine: m.kernel})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
	v.ring = nil
	if err := c.Reverify(); !errors.Is(err, sign.ErrUntrusted) {
		t.Errorf("nobody is trusted: %v", err)
	}
	if got := strings.Join(c.Status().Problems, "\n"); !strings.Contains(got, "site") {
		t.Errorf("problems %q", got)
	}
	if err := c.Activate("site"); err != nil {
		t.Errorf("what the kernel holds: %v", err)
	}
	v.ring = m.signer.Keyring()
	if err := c.Reverify(); err != nil || len(c.Status().Problems) != 0 {
		t.Errorf("trusted again: %v, problems %q", err, c.Status().Problems)
	}
}
