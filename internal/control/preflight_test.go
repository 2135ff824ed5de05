package control_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
)

// openText is a policy that allows everything.
func openText(name, version string) string {
	return "policy_name=" + name + " policy_version=" + version + "\nDEFAULT action=ALLOW\n"
}

// TestCareful: in each way by which a policy begins to deny, who is careful is told and
// nothing changes, and who is not is not asked.
func TestCareful(t *testing.T) {
	for _, tt := range []struct {
		name string
		// prepare is done without care, on an enforcing machine with "open" active.
		prepare func(c *running) error
		act     func(a control.Actor) error
		refused bool
	}{
		{"activate", nil, func(a control.Actor) error { return a.Activate("site") }, true},
		{"activate, permissive", func(c *running) error { return c.SetEnforce(false) },
			func(a control.Actor) error { return a.Activate("site") }, false},
		{"activate what is active", func(c *running) error { return c.Activate("site") },
			func(a control.Actor) error { return a.Activate("site") }, false},
		{"activate what denies as much", func(c *running) error { return c.Activate("site") },
			func(a control.Actor) error { return a.Activate("other") }, false},
		{"enforce", func(c *running) error { return errors.Join(c.SetEnforce(false), c.Activate("site")) },
			func(a control.Actor) error { return a.SetEnforce(true) }, true},
		{"enforce what is enforced", func(c *running) error { return c.Activate("site") },
			func(a control.Actor) error { return a.SetEnforce(true) }, false},
		{"enforce what denies nothing", func(c *running) error { return c.SetEnforce(false) },
			func(a control.Actor) error { return a.SetEnforce(true) }, false},
		{"success audit", func(c *running) error { return errors.Join(c.SetEnforce(false), c.Activate("site")) },
			func(a control.Actor) error {
				_, err := a.ChangeMode(api.ModeChange{SuccessAudit: new(true)})
				return err
			}, false},
		{"permissive", func(c *running) error { return c.Activate("site") },
			func(a control.Actor) error { return a.SetEnforce(false) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c := carefulMachine(t, &controltest.Preflight{})
			if tt.prepare != nil {
				if err := tt.prepare(c); err != nil {
					t.Fatal(err)
				}
			}
			before := c.Status()
			activations := m.engine.Activations
			err := tt.act(c.By(audit.Subject{}).Careful())
			if !tt.refused {
				wantErrno(t, "careful", err, 0)
				return
			}
			wantRefusal(t, err)
			after := c.Status()
			if after.Mode != before.Mode || after.Active.SHA256 != before.Active.SHA256 || m.engine.Activations != activations {
				t.Errorf("refused, and %+v is %+v", before, after)
			}
			wantErrno(t, "without care", tt.act(c.By(audit.Subject{})), 0)
		})
	}
}

func wantRefusal(t *testing.T, err error) {
	t.Helper()
	wantErrno(t, "careful", err, unix.ECANCELED)
	var lockout *api.LockoutError
	if !errors.As(err, &lockout) || lockout.Forecast.Denied() != 1 || lockout.Forecast.Findings[0].Path != controltest.Shell {
		t.Errorf("refusal %v", err)
	}
}

// carefulMachine has "open" active, and "site" and "other", which deny, loaded.
func carefulMachine(t *testing.T, p control.Preflight) (*machine, *running) {
	t.Helper()
	m := newMachine(t)
	m.preflight = p
	c := m.started()
	for _, text := range []string{openText("open", "1.0.0"), text("site", "1.0.0"), text("other", "1.0.0")} {
		if _, err := c.Load(m.signer.Sign(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Activate("open"); err != nil {
		t.Fatal(err)
	}
	return m, c
}

// TestCarefulUpdate: only an update of what decides is looked at. The tree's Place, and
// policies that came with the machine, do without.
func TestCarefulUpdate(t *testing.T) {
	p := &controltest.Preflight{}
	m, c := carefulMachine(t, p)
	careful := c.By(audit.Subject{}).Careful()
	if _, err := careful.Update("site", m.signed("site", "1.1.0")); err != nil {
		t.Errorf("update of an inactive one: %v", err)
	}
	_, err := careful.Update("open", m.signed("open", "1.1.0"))
	wantRefusal(t, err)
	if s := c.Status(); s.Active.Version != "1.0.0" {
		t.Errorf("refused, and active is %+v", s.Active)
	}
	looks := p.Looks.Load()
	place, err := c.Place("open")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := place.Update(m.signed("open", "1.1.0")); err != nil {
		t.Errorf("by the tree: %v", err)
	}
	if err := c.Deploy("file", m.signed("site", "1.2.0")); err != nil {
		t.Errorf("by a file: %v", err)
	}
	if p.Looks.Load() != looks {
		t.Error("somebody looked")
	}
}

// TestCarefulWithoutLook: if nobody can tell, the careful are refused; if this engine
// never can, they are not.
func TestCarefulWithoutLook(t *testing.T) {
	_, c := carefulMachine(t, &controltest.Preflight{Err: unix.ENOMEM})
	err := c.By(audit.Subject{}).Careful().Activate("site")
	wantErrno(t, "careful", err, unix.ECANCELED)
	if !errors.Is(err, api.ErrNoForecast) {
		t.Errorf("refusal %v", err)
	}
	wantErrno(t, "without care", c.Activate("site"), 0)

	_, c = carefulMachine(t, nil)
	wantErrno(t, "careful, without preflight", c.By(audit.Subject{}).Careful().Activate("site"), 0)
	_, err = c.Forecast("site")
	wantErrno(t, "forecast", err, unix.EOPNOTSUPP)
}

// TestForecast changes nothing; permissive, it tells what enforcing would mean.
func TestForecast(t *testing.T) {
	m, c := carefulMachine(t, &controltest.Preflight{})
	denied := func(what string, f api.Forecast, err error, want int) {
		t.Helper()
		if err != nil || f.Denied() != want || f.Findings == nil {
			t.Errorf("%s: %+v, %v, want %d findings", what, f, err, want)
		}
	}
	f, err := c.Forecast("site")
	denied("loaded", f, err, 1)
	if f.Policy != "site" || f.Version != "1.0.0" {
		t.Errorf("of %s %s", f.Policy, f.Version)
	}
	f, err = c.Forecast("open")
	denied("active", f, err, 0)
	f, err = c.ForecastOf(m.signed("new", "0.0.1"))
	denied("not loaded", f, err, 1)
	if err := c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	f, err = c.Forecast("site")
	denied("denied already", f, err, 0)
	if err := c.setMode(api.Mode{}); err != nil {
		t.Fatal(err)
	}
	f, err = c.Forecast("site")
	denied("permissive", f, err, 1)
	_, err = c.Forecast("gone")
	wantErrno(t, "unknown", err, unix.ENOENT)
	_, err = c.ForecastOf([]byte("no message"))
	wantErrno(t, "unsigned", err, unix.EBADMSG)
}
