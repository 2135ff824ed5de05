package control

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// SetProblem shows a problem that the caller has from now on, in the place of an
// earlier one by that name; nil shows it no longer.
func (c *Control) SetProblem(name string, err error) { c.setProblem(name, err) }

// Start takes up where the last process ended. It verifies every stored policy
// anew, sets the stored mode, and makes the stored active policy decide, or the
// boot policy if the store has none that is active; what the engine already
// enforces it leaves alone.
//
// Nothing is deleted and nothing stops it half way: whatever is wrong becomes a
// problem that Status shows, and part of the returned error. A stored active
// policy that no longer verifies stays in force if the engine still holds it;
// otherwise the boot policy decides, if there is one.
//
// It tries nothing out: what can wait must not delay enforcement. Until [Control.Prove],
// or somebody who asks for the Status, nothing counts as proven.
func (c *Control) Start() error {
	c.change.Lock()
	defer c.change.Unlock()
	errs := c.readStore()
	errs = append(errs, c.startKernel()...)
	errs = append(errs, c.readBoot(), c.startMode(), c.startPolicy())
	c.follow()
	return errors.Join(errs...)
}

// readBoot parses the boot policy, which ends at the first NUL if there is one. If a
// stored policy has its name, that is what the name means in requests; the boot policy
// decides all the same where no stored one does.
//
// So does one whose name cannot be that of a directory. A kernel takes its control
// tree down then; here the policy is missing there and in requests, and whatever
// replaces it can still be deployed.
func (c *Control) readBoot() error {
	c.boot, _, _ = bytes.Cut(c.boot, []byte{0})
	if len(c.boot) == 0 {
		return nil
	}
	if len(c.boot) >= api.MaxBoot {
		return c.problem(problemBoot, fmt.Errorf("%d bytes or more: %w", api.MaxBoot, unix.ENOMEM))
	}
	p, err := policy.Parse(c.boot)
	if err != nil {
		return c.problem(problemBoot, err)
	}
	c.bootPolicy = &deployed{name: p.Name, policy: p, text: c.boot, id: bootID, boot: true}
	if err := api.CheckName(p.Name); err != nil {
		return c.problem(problemBoot, fmt.Errorf("%w; the policy can be in force, but not be shown", err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.policies[p.Name]; !taken {
		c.admit(c.bootPolicy)
	}
	return nil
}

// startPolicy adopts or activates what is to decide. A boot policy is never
// adopted: all of them have the same ID, so the engine may hold an earlier text.
func (c *Control) startPolicy() error {
	want, problem := c.wanted()
	if want == nil {
		return problem
	}
	if st, err := c.eng.State(); err == nil && st.HasPolicy && st.ID == want.id && !want.boot {
		c.trail.Know(st.Generation, want.policy)
		c.setActive(want)
		c.log.Info("policy adopted, the engine enforced it all along", "policy_name", want.name, "policy_digest", want.digest())
		return problem
	}
	c.setActive(want)
	if err := c.enforce(want); err != nil {
		return errors.Join(problem, c.problem(problemEngine, fmt.Errorf("activate %s: %w", policyNamed(want.name), err)))
	}
	c.became(startedBy(want), nil, want)
	return problem
}

// startedBy is who activates d at a start. The kernel does not record that of its boot
// policy, and has no other.
func startedBy(d *deployed) *audit.Subject {
	if d.boot {
		return nil
	}
	who := audit.Nobody()
	return &who
}

// wanted returns the policy that is to decide after a start, nil for none or
// for leaving the engine alone.
func (c *Control) wanted() (*deployed, error) {
	name, ok := c.store.Active()
	if d := c.unfinished(name); d != nil {
		c.log.Warn("finishing an activation that was cut off", "policy_name", d.name)
		if err := c.store.SetActive(d.name); err != nil {
			return d, c.problem(problemStore, err)
		}
		return d, nil
	}
	if !ok {
		return c.fallback(), nil
	}
	d, err := c.lookup(name)
	if err != nil {
		return c.fallback(), c.problem(problemStore, fmt.Errorf("active %w", err))
	}
	if d.err == nil || d.policy != nil && c.inForce(d) {
		return d, nil
	}
	return c.fallback(), nil
}

// unfinished returns the stored policy that the engine decides by although the
// store says another is active: the daemon was killed in between.
func (c *Control) unfinished(active string) *deployed {
	st, err := c.eng.State()
	if err != nil || !st.HasPolicy {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.policies {
		if d.id == st.ID && d.name != active && d.err == nil && c.kept(d) {
			return d
		}
	}
	return nil
}

// fallback is the boot policy, unless the engine holds a policy already: that
// was verified once and is not exchanged for an unsigned one.
func (c *Control) fallback() *deployed {
	if st, err := c.eng.State(); err == nil && (st.OtherBuild || st.HasPolicy && st.ID != bootID) {
		return nil
	}
	return c.bootPolicy
}

// contentOf returns what a message contains, whoever signed it.
func contentOf(envelope []byte) []byte {
	e, err := sign.Inspect(envelope)
	if err != nil {
		return nil
	}
	return bytes.Clone(e.Content)
}

// readStore takes up all stored policies, verifying each anew.
func (c *Control) readStore() []error {
	errs := c.store.Problems()
	for _, err := range errs {
		c.log.tell(slog.LevelError, kindProblem, "problem", "with", problemDisk, "errno", errno.Symbol(err), "error", err)
	}
	for _, item := range c.store.List() {
		d := c.reopen(item)
		c.mu.Lock()
		c.admit(d)
		c.mu.Unlock()
		if d.err != nil {
			errs = append(errs, c.problem(policyNamed(d.name), unverified(d.err)))
		}
	}
	return errs
}

// reopen verifies a stored message. What no longer verifies is still described as
// far as it can be read.
func (c *Control) reopen(item store.Item) *deployed {
	e, err := c.store.Get(item.Name)
	var d *deployed
	if err == nil {
		d, err = c.open(e.Envelope)
	}
	if err == nil && d.name != item.Name {
		err = fmt.Errorf("holds %s: %w", policyNamed(d.name), api.ErrOtherName)
	}
	if err == nil {
		err = c.checkFloor(d)
	}
	if err == nil {
		return d
	}
	d = &deployed{name: item.Name, envelope: e.Envelope, id: item.SHA256, err: err}
	if p, perr := policy.Parse(contentOf(e.Envelope)); perr == nil && p.Name == item.Name {
		d.policy = p
	}
	return d
}
