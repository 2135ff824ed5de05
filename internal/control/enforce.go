package control

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/audit"
)

var errStill = errors.New("the engine still holds another policy")

// enforce hands d to the engine and learns which generation that is.
func (c *Control) enforce(d *deployed) error {
	return c.trail.Switch(d.policy, func() (uint64, error) {
		c.Turn()
		if err := c.eng.Activate(d.toEngine()); err != nil {
			return 0, err
		}
		st, err := c.eng.State()
		if err != nil {
			return 0, fmt.Errorf("read back: %w", err)
		}
		if !st.HasPolicy || st.ID != d.id {
			return 0, errStill
		}
		return st.Generation, nil
	})
}

// switchTo makes the engine decide by d and then persists that. If the store
// fails the engine goes back to old; without an old policy there is no way back,
// for an engine cannot have none again, nor to an older one in a kernel that keeps
// policies itself.
func (c *Control) switchTo(who *audit.Subject, old, d *deployed, persist func() error) error {
	if err := c.enforce(d); err != nil {
		return errors.Join(fmt.Errorf("engine: %w", err), c.restore(old))
	}
	err := persist()
	if err == nil {
		return nil
	}
	if old == nil || old.policy == nil || c.keeper != nil {
		c.became(who, old, d)
		return fmt.Errorf("%s decides, but only until the next start: %w", policyNamed(d.name), err)
	}
	if rerr := c.restore(old); rerr != nil {
		return errors.Join(fmt.Errorf("%s cannot be kept: %w", policyNamed(d.name), err), rerr)
	}
	return fmt.Errorf("%s cannot be kept, so %s %s decides on: %w", policyNamed(d.name), policyNamed(old.name), old.policy.Version, err)
}

// restore makes the engine decide by old, if it does not.
func (c *Control) restore(old *deployed) error {
	if old == nil || old.policy == nil || c.inForce(old) {
		return nil
	}
	if err := c.enforce(old); err != nil {
		return fmt.Errorf("go back to %s: engine: %w", policyNamed(old.name), err)
	}
	return nil
}

// inForce reports whether the engine decides by d.
func (c *Control) inForce(d *deployed) bool {
	st, err := c.eng.State()
	return err == nil && st.HasPolicy && st.ID == d.id
}

// became notes the new active policy, and records it unless who is nil.
func (c *Control) became(who *audit.Subject, old, d *deployed) {
	c.mu.Lock()
	c.active = d
	c.edits++
	c.turned()
	delete(c.problems, problemEngine)
	c.mu.Unlock()
	args := []any{"new_active_pol_name", d.name, "new_active_pol_version", d.policy.Version.String(), "new_policy_digest", d.digest()}
	if old != nil && old.policy != nil {
		args = append(args, "old_active_pol_name", old.name, "old_active_pol_version", old.policy.Version.String(),
			"old_policy_digest", old.digest())
	}
	c.log.tell(levelNotice, kindPolicyActivated, "policy activated", args...)
	if who != nil {
		c.trail.Changed(audit.ConfigChange{Old: old.auditID(), New: d.auditID(), Subject: *who})
	}
}
