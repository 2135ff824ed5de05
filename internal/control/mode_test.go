package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/store"
)

// badDisk is a store whose disk takes nothing while err is set.
type badDisk struct {
	control.Store
	err error
}

func (d *badDisk) SetMode(m store.Mode) error {
	if d.err != nil {
		return d.err
	}
	return d.Store.SetMode(m)
}

func (d *badDisk) Put(e store.Entry) error {
	if d.err != nil {
		return d.err
	}
	return d.Store.Put(e)
}

// TestDeployWithoutDisk: the policy that came with the machine decides though it cannot
// be kept, if nothing else does.
func TestDeployWithoutDisk(t *testing.T) {
	m := newMachine(t)
	d := &badDisk{err: fmt.Errorf("write: %w", unix.EROFS)}
	m.wrap = func(s control.Store) control.Store { d.Store = s; return d }
	c := m.started()
	err := c.Deploy("a.p7b", m.signed("site", "1.0.0"))
	wantErrno(t, "deploy", err, unix.EROFS)
	wantSummary(t, c, "enforcing")
	wantProblem(t, c, `policy site decides, but only until the next start`)
	wantErrno(t, "another", c.Deploy("b.p7b", m.signed("other", "2.0.0")), unix.EROFS)
	if s := c.Status(); s.Active == nil || s.Active.Name != "site" || s.Active.Kept {
		t.Errorf("active %+v", s.Active)
	}
	d.err = nil
	m.engine = controltest.NewEngine()
	c = m.started()
	if err := c.Deploy("a.p7b", m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, c, "")
}

// TestBrake: permissive takes effect whatever is wrong with the disk, and so does the
// way back. Status says that it is not kept until it is.
func TestBrake(t *testing.T) {
	for _, wrong := range []error{unix.ENOSPC, unix.EROFS, unix.EIO, store.ErrFailed} {
		t.Run(wrong.Error(), func(t *testing.T) {
			m := newMachine(t)
			d := &badDisk{}
			m.wrap = func(s control.Store) control.Store { d.Store = s; return d }
			c := m.started()
			must[api.Info](t)(c.Load(m.signed("site", "1.0.0")))
			if err := c.Activate("site"); err != nil {
				t.Fatal(err)
			}
			d.err = fmt.Errorf("write: %w", wrong)
			off, on := false, true
			r, err := c.ChangeMode(api.ModeChange{Enforce: &off})
			st, serr := m.engine.State()
			if err := errors.Join(err, serr); err != nil || r.Enforce || st.Mode.Enforce || !strings.Contains(r.NotKept, "not kept for the next boot") {
				t.Errorf("permissive: %+v, kernel %+v, %v", r, st.Mode, err)
			}
			wantSummary(t, c, "permissive")
			wantProblem(t, c, "permissive is not kept")
			if _, err := c.Load(m.signed("more", "1.0.0")); !errors.Is(err, wrong) {
				t.Errorf("load: %v", err)
			}
			wantProblem(t, c, "permissive is not kept")
			d.err = nil
			must[api.Info](t)(c.Load(m.signed("more", "1.0.0")))
			wantProblem(t, c, "")
			if m.store.Mode().Enforce {
				t.Error("the change after it did not keep the mode")
			}
			d.err = wrong
			if r, err := c.ChangeMode(api.ModeChange{Enforce: &on}); err != nil || !r.Enforce || r.NotKept == "" {
				t.Errorf("enforce: %+v, %v", r, err)
			}
			wantSummary(t, c, "enforcing")
			r, err = c.ChangeMode(api.ModeChange{Enforce: &off})
			if err != nil || r.NotKept != "" {
				t.Errorf("what is stored already is kept: %+v, %v", r, err)
			}
			wantProblem(t, c, "")
		})
	}
}

// TestCommandLine: ipe.enforce= and ipe.success_audit= rule a boot until the switch is
// changed in it, also by a daemon that starts anew, and are forgotten with the boot.
func TestCommandLine(t *testing.T) {
	on, off := true, false
	m := newMachine(t)
	boot := func(id string, ch api.ModeChange) *running {
		m.engine = controltest.NewEngine()
		m.mode = control.BootMode{ID: id, ModeChange: ch}
		return m.started()
	}
	want := func(c *running, what string, want api.Mode) {
		t.Helper()
		st, err := m.engine.State()
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []api.Mode{c.Mode(), api.Mode(st.Mode)} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
	}
	change := func(c *running, ch api.ModeChange) {
		t.Helper()
		if _, err := c.ChangeMode(ch); err != nil {
			t.Fatal(err)
		}
	}
	rescue := api.ModeChange{Enforce: &off}

	want(boot("a", api.ModeChange{}), "no command line", api.Mode{Enforce: true})
	want(boot("b", rescue), "rescue boot", api.Mode{})
	c := m.started()
	want(c, "same boot, next start", api.Mode{})
	change(c, api.ModeChange{SuccessAudit: &on})
	want(m.started(), "the other switch was changed", api.Mode{SuccessAudit: true})
	want(boot("c", api.ModeChange{}), "next boot", api.Mode{Enforce: true, SuccessAudit: true})

	c = boot("d", rescue)
	change(c, api.ModeChange{Enforce: &on})
	want(c, "changed", api.Mode{Enforce: true, SuccessAudit: true})
	want(m.started(), "changed, next start", api.Mode{Enforce: true, SuccessAudit: true})
	c = boot("e", rescue)
	want(c, "next rescue boot", api.Mode{SuccessAudit: true})
	change(c, api.ModeChange{Enforce: &off})
	want(boot("f", api.ModeChange{}), "asked for what the command line said", api.Mode{SuccessAudit: true})
	want(boot("g", api.ModeChange{Enforce: &on, SuccessAudit: &off}), "both", api.Mode{Enforce: true})
}
