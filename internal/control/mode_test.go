package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/engine"
)

// TestCommandLine: ipe.enforce= and ipe.success_audit= rule a boot until the switch is
// changed in it, also by a daemon that starts anew, and are forgotten with the boot.
func TestCommandLine(t *testing.T) {
	on, off := true, false
	m := newMachine(t)
	boot := func(id string, ch control.ModeChange) *control.Control {
		m.engine = controltest.NewEngine()
		m.mode = control.BootMode{ID: id, ModeChange: ch}
		return m.started()
	}
	want := func(c *control.Control, what string, want engine.Mode) {
		t.Helper()
		st, err := m.engine.State()
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []engine.Mode{c.Mode(), st.Mode} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
	}
	change := func(c *control.Control, ch control.ModeChange) {
		t.Helper()
		if _, err := c.ChangeMode(ch); err != nil {
			t.Fatal(err)
		}
	}
	rescue := control.ModeChange{Enforce: &off}

	want(boot("a", control.ModeChange{}), "no command line", engine.Mode{Enforce: true})
	want(boot("b", rescue), "rescue boot", engine.Mode{})
	c := m.started()
	want(c, "same boot, next start", engine.Mode{})
	change(c, control.ModeChange{SuccessAudit: &on})
	want(m.started(), "the other switch was changed", engine.Mode{SuccessAudit: true})
	want(boot("c", control.ModeChange{}), "next boot", engine.Mode{Enforce: true, SuccessAudit: true})

	c = boot("d", rescue)
	change(c, control.ModeChange{Enforce: &on})
	want(c, "changed", engine.Mode{Enforce: true, SuccessAudit: true})
	want(m.started(), "changed, next start", engine.Mode{Enforce: true, SuccessAudit: true})
	c = boot("e", rescue)
	want(c, "next rescue boot", engine.Mode{SuccessAudit: true})
	change(c, control.ModeChange{Enforce: &off})
	want(boot("f", control.ModeChange{}), "asked for what the command line said", engine.Mode{SuccessAudit: true})
	want(boot("g", control.ModeChange{Enforce: &on, SuccessAudit: &off}), "both", engine.Mode{Enforce: true})
}
