package control

import (
	"errors"
	"fmt"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/engine"
)

// proofAge is how long a self-test may stand for "now" in a status. Each one leaves
// a few records, so asking often must not repeat it often.
const proofAge = 10 * time.Second

var errStill = errors.New("the engine still holds another policy")

// enforce hands d to the engine and learns which generation that is.
func (c *Control) enforce(d *deployed) error {
	c.events.table.Lock()
	defer c.events.table.Unlock()
	if err := c.eng.Activate(d.toEngine()); err != nil {
		return err
	}
	st, err := c.eng.State()
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if !st.HasPolicy || st.ID != d.id {
		return errStill
	}
	c.events.know(st.Generation, d.policy)
	return nil
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
		return fmt.Errorf("policy %q decides, but only until the next start: %w", d.name, err)
	}
	return errors.Join(err, c.restore(old))
}

// restore makes the engine decide by old, if it does not.
func (c *Control) restore(old *deployed) error {
	if old == nil || old.policy == nil || c.inForce(old) {
		return nil
	}
	if err := c.enforce(old); err != nil {
		return fmt.Errorf("go back to policy %q: engine: %w", old.name, err)
	}
	return nil
}

// inForce reports whether the engine decides by d.
func (c *Control) inForce(d *deployed) bool {
	st, err := c.eng.State()
	return err == nil && st.HasPolicy && st.ID == d.id
}

// became notes the new active policy, records it unless who is nil, and proves it.
func (c *Control) became(who *audit.Subject, old, d *deployed) {
	c.mu.Lock()
	c.active = d
	c.edits++
	c.selfTest, c.testErr = nil, nil // they were about another policy
	delete(c.problems, problemEngine)
	c.mu.Unlock()
	args := []any{"new_active_pol_name", d.name, "new_active_pol_version", d.policy.Version.String(), "new_policy_digest", d.digest()}
	if old != nil && old.policy != nil {
		args = append(args, "old_active_pol_name", old.name, "old_active_pol_version", old.policy.Version.String(),
			"old_policy_digest", old.digest())
	}
	c.log.Info("policy activated", args...)
	if who != nil {
		c.events.changed(audit.ConfigChange{Old: old.auditID(), New: d.auditID(), Subject: *who})
	}
	c.prove()
}

// renewProof repeats the self-test if it is old. The caller holds change.
func (c *Control) renewProof() {
	c.mu.Lock()
	recent := c.selfTest != nil && time.Since(c.selfTest.Time) < proofAge
	c.mu.Unlock()
	if !recent {
		c.prove()
	}
}

// prove runs the engine's self-test on the active policy and keeps the outcome.
func (c *Control) prove() {
	d, _ := c.current()
	if d == nil {
		return
	}
	test, err := c.tested(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selfTest, c.testErr = &test, err
	if err != nil {
		c.selfTest = nil
		c.log.Error("self-test could not run", "error", err)
		return
	}
	if test.Failed {
		c.log.Error("self-test went against the policy", "probes", test.Probes)
		return
	}
	c.log.Info("self-test", "denial_seen", test.DenialSeen, "probes", len(test.Probes))
}

// tested runs the self-test on d, if anybody here knows what d demands.
func (c *Control) tested(d *deployed) (engine.SelfTest, error) {
	if d.policy == nil {
		return engine.SelfTest{}, d.err
	}
	return c.eng.SelfTest(d.toEngine())
}
