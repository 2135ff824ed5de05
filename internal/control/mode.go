package control

import (
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/store"
)

// ModeChange says what to change; nil leaves a switch as it is.
type ModeChange struct {
	Enforce      *bool `json:"enforce,omitempty"`
	SuccessAudit *bool `json:"success_audit,omitempty"`
}

func (ch ModeChange) of(m engine.Mode) engine.Mode {
	if ch.Enforce != nil {
		m.Enforce = *ch.Enforce
	}
	if ch.SuccessAudit != nil {
		m.SuccessAudit = *ch.SuccessAudit
	}
	return m
}

// SetMode changes enforce and success_audit; see ChangeMode.
func (c *Control) SetMode(m engine.Mode) error {
	_, err := c.ChangeMode(ModeChange{Enforce: &m.Enforce, SuccessAudit: &m.SuccessAudit})
	return err
}

// SetEnforce changes enforce alone; see ChangeMode.
func (c *Control) SetEnforce(on bool) error {
	_, err := c.ChangeMode(ModeChange{Enforce: &on})
	return err
}

// SetSuccessAudit changes success_audit alone; see ChangeMode.
func (c *Control) SetSuccessAudit(on bool) error {
	_, err := c.ChangeMode(ModeChange{SuccessAudit: &on})
	return err
}

// BootMode is what the kernel was booted with. It rules until a switch is changed
// for the first time in that boot; what is stored is left for the next boot then, and
// a later start in the same boot finds that the switch was changed in it.
type BootMode struct {
	// ID identifies this boot.
	ID string
	// ModeChange holds ipe.enforce= and ipe.success_audit= of the command line.
	ModeChange
}

// at returns the mode that a start begins with.
func (b BootMode) at(stored store.Mode) engine.Mode {
	var ch ModeChange
	if stored.EnforceSince == "" || stored.EnforceSince != b.ID {
		ch.Enforce = b.Enforce
	}
	if stored.SuccessAuditSince == "" || stored.SuccessAuditSince != b.ID {
		ch.SuccessAudit = b.SuccessAudit
	}
	return ch.of(fromStore(stored))
}

// stored returns what is to be stored for a change: only what was asked for, so that
// a switch that the command line set for one boot is not kept by changing the other.
func (b BootMode) stored(m store.Mode, ch ModeChange) store.Mode {
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
	c.mu.Unlock()
	if err := c.eng.SetMode(mode); err != nil {
		return c.problem(problemMode, err)
	}
	return nil
}

func fromStore(m store.Mode) engine.Mode {
	return engine.Mode{Enforce: m.Enforce, SuccessAudit: m.SuccessAudit}
}
