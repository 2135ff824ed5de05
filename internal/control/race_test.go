package control_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
)

// peeking calls look in the middle of every switch, and again at the start of
// every self-test.
type peeking struct {
	engine.Engine
	look func(when string)
}

func (p *peeking) Activate(a engine.Active) error {
	err := p.Engine.Activate(a)
	p.look("switched")
	return err
}

func (p *peeking) SetMode(m engine.Mode) error {
	err := p.Engine.SetMode(m)
	p.look("mode set")
	return err
}

func (p *peeking) SelfTest(a engine.Active) (engine.SelfTest, error) {
	p.look("before the self-test")
	return p.Engine.SelfTest(a)
}

// TestStatusDuringChange: while a change is under way nothing is called proven
// that was not, and nothing is called broken that is merely new.
func TestStatusDuringChange(t *testing.T) {
	m := newMachine(t)
	m.started()
	var c *running
	var seen []string
	eng := &peeking{Engine: m.engine, look: func(string) {}}
	c = newRunning(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: eng})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { _, err := c.Load(m.signed("site", "1.0.0")); return err },
		func() error { return c.Activate("site") },
		func() error {
			eng.look = func(when string) { seen = append(seen, when+": "+c.Status().Summary) }
			_, err := c.Update("site", m.signed("site", "2.0.0"))
			return err
		},
		func() error { return c.setMode(api.Mode{}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 4 {
		t.Errorf("looked %d times", len(seen))
	}
	for _, s := range seen {
		if strings.HasSuffix(s, ": enforcing") || strings.Contains(s, "NOT ENFORCING") {
			t.Error(s)
		}
	}
}

// TestBootPolicyWithNameTaken: a stored policy of the boot policy's name, that
// nobody activated, does not leave the machine without any.
func TestBootPolicyWithNameTaken(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	m.boot = text("site", "0.0.1")
	c = m.started()
	s := c.Status()
	if s.Summary != "enforcing" || s.Active == nil || !s.Active.Boot {
		t.Fatalf("summary %q, active %+v; want the boot policy enforced", s.Summary, s.Active)
	}
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	if s := c.Status(); s.Active.Boot || s.Active.Version != "1.0.0" {
		t.Errorf("active %+v, want the signed policy", s.Active)
	}
}

// noActivation is a store that cannot note which policy is active.
type noActivation struct{ control.Store }

func (noActivation) SetActive(string) error { return errDisk }

// TestBootPolicyUpdateFails: an update of the boot policy that could not be stored
// is as if it had not been asked for.
func TestBootPolicyUpdateFails(t *testing.T) {
	m := newMachine(t)
	m.boot = text("boot", "0.0.1")
	m.wrap = func(s control.Store) control.Store { return noActivation{s} }
	c := m.started()
	if _, err := c.Update("boot", m.signed("boot", "1.0.0")); !errors.Is(err, errDisk) {
		t.Fatalf("update: %v, want %v", err, errDisk)
	}
	m.wrap = nil
	c = m.started()
	if s := c.Status(); s.Active == nil || !s.Active.Boot || len(c.List()) != 1 || !c.List()[0].Boot {
		t.Errorf("active %+v, policies %+v; want the boot policy alone", s.Active, c.List())
	}
}
