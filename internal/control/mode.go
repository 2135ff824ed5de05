package control

import (
	"fmt"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
)

// changed is m after a change.
func changed(m engine.Mode, ch api.ModeChange) engine.Mode {
	if ch.Enforce != nil {
		m.Enforce = *ch.Enforce
	}
	if ch.SuccessAudit != nil {
		m.SuccessAudit = *ch.SuccessAudit
	}
	return m
}

// ChangeMode changes enforce, success_audit or both. What is set already is no error.
// After an error the old mode holds.
//
// The kernel comes first, and a store that fails undoes nothing: permissive is the
// brake, and a full disk must not take it away. Such a mode holds until this process
// ends. It is a problem that Status shows, and each later change tries to store it.
func (c *Control) ChangeMode(ch api.ModeChange) (api.ModeResult, error) {
	return c.By(nobody).ChangeMode(ch)
}

// SetMode changes enforce and success_audit; see ChangeMode.
func (c *Control) SetMode(m api.Mode) error {
	_, err := c.ChangeMode(api.ModeChange{Enforce: &m.Enforce, SuccessAudit: &m.SuccessAudit})
	return err
}

// SetEnforce changes enforce alone; see ChangeMode.
func (c *Control) SetEnforce(on bool) error {
	_, err := c.ChangeMode(api.ModeChange{Enforce: &on})
	return err
}

// SetSuccessAudit changes success_audit alone; see ChangeMode.
func (c *Control) SetSuccessAudit(on bool) error {
	_, err := c.ChangeMode(api.ModeChange{SuccessAudit: &on})
	return err
}

// BootMode is what the kernel was booted with. It rules until a switch is changed
// for the first time in that boot; what is stored is left for the next boot then, and
// a later start in the same boot finds that the switch was changed in it.
type BootMode struct {
	// ID identifies this boot.
	ID string
	// ModeChange holds ipe.enforce= and ipe.success_audit= of the command line.
	api.ModeChange
}

// at returns the mode that a start begins with.
func (b BootMode) at(stored store.Mode) engine.Mode {
	var ch api.ModeChange
	if stored.EnforceSince == "" || stored.EnforceSince != b.ID {
		ch.Enforce = b.Enforce
	}
	if stored.SuccessAuditSince == "" || stored.SuccessAuditSince != b.ID {
		ch.SuccessAudit = b.SuccessAudit
	}
	return changed(fromStore(stored), ch)
}

// stored returns what is to be stored for a change: only what was asked for, so that
// a switch that the command line set for one boot is not kept by changing the other.
func (b BootMode) stored(m store.Mode, ch api.ModeChange) store.Mode {
	if ch.Enforce != nil {
		m.Enforce, m.EnforceSince = *ch.Enforce, b.since(b.Enforce)
	}
	if ch.SuccessAudit != nil {
		m.SuccessAudit, m.SuccessAuditSince = *ch.SuccessAudit, b.since(b.SuccessAudit)
	}
	return m
}

// since is empty where the command line says nothing that could be overruled.
func (b BootMode) since(named *bool) string {
	if named == nil {
		return ""
	}
	return b.ID
}

func (c *Control) startMode() error {
	stored := c.store.Mode()
	mode := c.bootMode.at(stored)
	if from := fromStore(stored); mode != from {
		c.log.Warn("the kernel's command line overrules the stored mode in this boot", "enforcing", mode.Enforce,
			"stored_enforcing", from.Enforce, "success_audit", mode.SuccessAudit, "stored_success_audit", from.SuccessAudit)
	}
	c.mu.Lock()
	c.mode = mode
	c.edits++
	c.turned()
	c.mu.Unlock()
	if err := c.eng.SetMode(mode); err != nil {
		return c.problem(problemMode, err)
	}
	return nil
}

func fromStore(m store.Mode) engine.Mode {
	return engine.Mode{Enforce: m.Enforce, SuccessAudit: m.SuccessAudit}
}

// recordSwitch records a change of enforce, before it has effect. One that then comes
// to nothing is recorded as undone.
func (c *Control) recordSwitch(who audit.Subject, m, old engine.Mode) {
	if m.Enforce != old.Enforce {
		c.trail.Switched(audit.Status{Enforcing: m.Enforce, OldEnforcing: old.Enforce, Subject: who})
	}
}

// begin is what each change begins with.
func (c *Control) begin() {
	c.follow()
	_ = c.keepMode() // Status shows it
}

func (c *Control) changeMode(who audit.Subject, ch api.ModeChange, g guard) (api.ModeResult, error) {
	c.follow()
	active, old := c.current()
	m := changed(old, ch)
	if err := g.askMode(active, m, old); err != nil {
		return api.ModeResult{Mode: api.Mode(old)}, fmt.Errorf("set mode: %w", err)
	}
	c.recordSwitch(who, m, old)
	if m != old {
		c.turn()
		if err := c.eng.SetMode(m); err != nil {
			c.recordSwitch(who, old, m)
			return api.ModeResult{Mode: api.Mode(old)}, fmt.Errorf("set mode: engine: %w", err)
		}
	}
	r := api.ModeResult{Mode: api.Mode(m)}
	c.wantKept(ch)
	if err := c.keepMode(); err != nil {
		r.NotKept = err.Error()
	}
	if m != old {
		c.modeBecame(m, old)
	}
	return r, nil
}

// wantKept notes what the store is to have after a change.
func (c *Control) wantKept(ch api.ModeChange) {
	stored := c.keptMode()
	next := c.bootMode.stored(stored, ch)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unkept = &next
}

// keptMode is what the store has, or would have if it had not failed.
func (c *Control) keptMode() store.Mode {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unkept != nil {
		return *c.unkept
	}
	return c.store.Mode()
}

// keepMode stores the mode that is to be stored, if that is not done. The caller holds
// change.
func (c *Control) keepMode() error {
	c.mu.Lock()
	next := c.unkept
	c.mu.Unlock()
	if next == nil {
		return nil
	}
	if *next != c.store.Mode() {
		if err := c.store.SetMode(*next); err != nil {
			return c.problem(problemKept, fmt.Errorf("%s is not kept for the next boot, nor for a restart of iped, which have %s; the next change tries again: %w",
				modeWord(fromStore(*next)), modeWord(fromStore(c.store.Mode())), err))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unkept = nil
	delete(c.problems, problemKept)
	return nil
}

func (c *Control) modeBecame(m, old engine.Mode) {
	c.mu.Lock()
	c.mode = m
	c.edits++
	c.turned()
	delete(c.problems, problemMode)
	c.mu.Unlock()
	c.tell(levelNotice, kindModeChanged, "mode changed", "enforcing", m.Enforce, "old_enforcing", old.Enforce, "success_audit", m.SuccessAudit)
}

// Mode returns the mode that was asked for, or that of a kernel that keeps policies
// itself; Status has the kernel's.
func (c *Control) Mode() api.Mode {
	c.follow()
	_, m := c.current()
	return api.Mode(m)
}
