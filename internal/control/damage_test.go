package control_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
	"github.com/ipe-linux/ipe/internal/engine"
)

// deployedMachine has site 1.0.0 active and spare 2.0.0 inactive, with success audit.
// It returns the files of its state directory by what they are.
func deployedMachine(t *testing.T) (*machine, map[string]string) {
	t.Helper()
	m := newMachine(t)
	c := m.started()
	site, spare := m.signed("site", "1.0.0"), m.signed("spare", "2.0.0")
	must[api.Info](t)(c.Load(site))
	must[api.Info](t)(c.Load(spare))
	if err := errors.Join(c.Activate("site"), c.SetSuccessAudit(true)); err != nil {
		t.Fatal(err)
	}
	m.stop()
	return m, map[string]string{"index": "index", "copy": "copy", "active policy": envelopeFile(site), "inactive policy": envelopeFile(spare)}
}

func envelopeFile(envelope []byte) string {
	return fmt.Sprintf("policies/%x.p7b", sha256.Sum256(envelope))
}

// fork returns a machine in the same state, with an engine of its own.
func (m *machine) fork(t *testing.T) *machine {
	t.Helper()
	f := newMachine(t)
	f.signer = m.signer
	if err := os.CopyFS(f.dir, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{f.dir, filepath.Join(f.dir, "policies")} {
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestDamagedState spoils each file of the state directory in each way. The active
// policy decides after a restart and after a reboot, in the mode that was, its floor
// holds, nothing else becomes active, and status says what is wrong.
func TestDamagedState(t *testing.T) {
	m, files := deployedMachine(t)
	cases := 0
	for what, file := range files {
		for _, d := range storetest.Damages() {
			for _, reboot := range []bool{false, true} {
				cases++
				t.Run(fmt.Sprintf("%s %s, reboot %v", what, d.Name, reboot), func(t *testing.T) {
					f := m.fork(t)
					if !reboot {
						f.started() // the engine goes on deciding
						f.stop()
					}
					if err := d.Do(filepath.Join(f.dir, file)); err != nil {
						t.Fatal(err)
					}
					if problems := checkSite(t, f); len(problems) == 0 {
						t.Error("no problem is told")
					}
					checkSite(t, f) // what could be put right is
				})
			}
		}
	}
	if cases < 100 {
		t.Errorf("%d cases", cases)
	}
}

// checkSite starts the machine, where site must decide, and returns the problems.
func checkSite(t *testing.T, m *machine) []string {
	t.Helper()
	c, _ := m.start()
	s := c.Status()
	if s.Summary != "enforcing" || s.Active == nil || s.Active.Name != "site" || s.Active.Version != "1.0.0" || !s.Kernel.Mode.SuccessAudit || !s.Active.Kept {
		t.Errorf("status %+v, active %+v", s, s.Active)
	}
	if err := c.Guarded(); err != nil || m.engine.Activations != 1 {
		t.Errorf("guarded: %v, %d activations", err, m.engine.Activations)
	}
	_, err := c.Update("site", m.signed("site", "0.9.0"))
	wantErrno(t, "going back", err, unix.ESTALE)
	m.stop()
	return s.Problems
}

// TestLostState: without both copies nothing is activated, also not the stored policy of
// the highest version; it is told, and the start fails, until it is put right.
func TestLostState(t *testing.T) {
	m, files := deployedMachine(t)
	lose := func(f *machine) {
		for _, what := range []string{"index", "copy"} {
			if err := os.Remove(filepath.Join(f.dir, files[what])); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := m.fork(t)
	lose(f)
	for range 2 {
		c, err := f.start()
		if err == nil || len(c.List()) != 0 || f.engine.Activations != 0 {
			t.Errorf("start %v, policies %v", err, c.List())
		}
		wantSummary(t, c, "no policy: everything is allowed")
		if err := c.Guarded(); !errors.Is(err, control.ErrUnguarded) || !strings.Contains(err.Error(), "floors are lost") {
			t.Errorf("guarded: %v", err)
		}
	}
	c, _ := f.start()
	must[api.Info](t)(c.Load(f.signed("site", "0.5.0")))
	if err := errors.Join(c.Activate("site"), c.Guarded()); err != nil {
		t.Error(err)
	}
	f.engine = controltest.NewEngine()
	c, _ = f.start()
	if s := c.Status(); s.Summary != "enforcing" || !strings.Contains(strings.Join(s.Problems, "\n"), "floors are lost") {
		t.Errorf("deployed anew: %s, problems %q", s.Summary, s.Problems)
	}

	f = m.fork(t)
	f.started()
	f.stop()
	lose(f)
	c, _ = f.start()
	wantSummary(t, c, "active, not proven: the kernel decides by a policy that is not in the store")
	if err := c.Guarded(); err != nil || f.engine.Activations != 1 {
		t.Errorf("a kernel that goes on enforcing: %v, %d activations", err, f.engine.Activations)
	}

	f = m.fork(t)
	lose(f)
	f.boot = text("boot", "0.0.1")
	c, _ = f.start()
	wantSummary(t, c, "enforcing")
	if err := c.Guarded(); err != nil {
		t.Errorf("with a boot policy: %v", err)
	}
}

// TestGuarded: a start fails only where something was to be denied.
func TestGuarded(t *testing.T) {
	off, gone := false, errors.New("no such file")
	for _, tt := range []struct {
		name    string
		prepare func(m *machine)
		want    string
	}{
		{"nothing deployed", func(m *machine) { m.dir = filepath.Join(m.tb.TempDir(), "new") }, ""},
		{"deployed", func(*machine) {}, ""},
		{"signer no longer trusted", func(m *machine) { m.signer = controltest.NewSigner(m.tb, "other") }, `policy site: stored policy no longer verifies: `},
		{"the same, permissive", func(m *machine) {
			m.signer = controltest.NewSigner(m.tb, "other")
			m.mode = control.BootMode{ID: "x", ModeChange: api.ModeChange{Enforce: &off}}
		}, ""},
		{"the same, with a boot policy", func(m *machine) {
			m.signer, m.boot = controltest.NewSigner(m.tb, "other"), text("boot", "0.0.1")
		}, ""},
		{"kernel refuses", func(m *machine) {
			m.engine.BeforeActivate = func(engine.Active) error { return unix.ENOMEM }
		}, "cannot allocate memory"},
		{"no boot policy", func(m *machine) { m.dir, m.bootErr = filepath.Join(m.tb.TempDir(), "new"), gone }, "no such file"},
		{"no boot policy, and none needed", func(m *machine) { m.bootErr = gone }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := deployedMachine(t)
			m.engine = controltest.NewEngine()
			tt.prepare(m)
			c, _ := m.start()
			err := c.Guarded()
			if (tt.want == "") != (err == nil) || err != nil && (!errors.Is(err, control.ErrUnguarded) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
