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

// Mode returns the mode that was asked for, or that of a kernel that keeps policies
// itself; Status has the kernel's.
func (c *Control) Mode() api.Mode {
	c.follow()
	_, m := c.current()
	return api.Mode(m)
}

// recordSwitch records a change of enforce, before it has effect. One that then comes
// to nothing is recorded as undone.
func (r request) recordSwitch(m, old engine.Mode) {
	if m.Enforce != old.Enforce {
		r.trail.Switched(audit.Status{Enforcing: m.Enforce, OldEnforcing: old.Enforce, Subject: r.who})
	}
}

// begin is what each change begins with.
func (r request) begin() {
	r.follow()
	_ = r.keepMode() // Status shows it
}

func (r request) changeMode(ch api.ModeChange) (api.ModeResult, error) {
	r.follow()
	active, old := r.current()
	m := changed(old, ch)
	if err := r.guard.askMode(active, m, old); err != nil {
		return api.ModeResult{Mode: api.Mode(old)}, fmt.Errorf("set mode: %w", err)
	}
	r.recordSwitch(m, old)
	if m != old {
		r.Turn()
		if err := r.eng.SetMode(m); err != nil {
			r.recordSwitch(old, m)
			return api.ModeResult{Mode: api.Mode(old)}, fmt.Errorf("set mode: engine: %w", err)
		}
	}
	result := api.ModeResult{Mode: api.Mode(m)}
	r.wantKept(ch)
	if err := r.keepMode(); err != nil {
		result.NotKept = err.Error()
	}
	if m != old {
		r.modeBecame(m, old)
	}
	return result, nil
}
