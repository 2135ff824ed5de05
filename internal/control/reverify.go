package control

import (
	"errors"

	"github.com/ipe-linux/ipe/internal/control/store"
)

// Reverify verifies each stored policy anew, as a start does, after the verifier has
// come to trust others. What decides goes on deciding: a policy that nobody trusted
// vouches for any longer is a problem that Status shows, and cannot be activated again
// once another is active. One that is trusted again is as if it had always been; if it
// is the one that was to be active, it becomes so.
//
// Errors are those that Status shows from now on.
func (c *Control) Reverify() (err error) {
	c.Changing(func() {
		c.follow()
		var errs []error
		back := map[string]bool{}
		for _, item := range c.store.List() {
			again, err := c.reverify(item)
			back[item.Name] = again
			errs = append(errs, err)
		}
		name, _ := c.store.Active()
		if active, _ := c.current(); back[name] && (active == nil || active.name != name) && c.keeper == nil {
			errs = append(errs, c.startPolicy())
		}
		err = errors.Join(errs...)
	})
	return err
}

// reverify is about one policy; again says that it could not be used until now.
func (c *Control) reverify(item store.Item) (again bool, err error) {
	now := c.reopen(item)
	old, err := c.lookup(item.Name)
	if err != nil || old.id != item.SHA256 {
		return false, nil // others changed the kernel's, and Status tells that
	}
	if now.err == nil && old.err != nil && c.keeper != nil && !old.held {
		now.err = c.keeper.Load(now.envelope)
	}
	c.swap(old, now)
	if now.err != nil {
		return false, c.problem(policyNamed(item.Name), unverified(now.err))
	}
	c.setProblem(policyNamed(item.Name), nil)
	if old.err != nil {
		c.log.Info("policy verifies again", "policy_name", now.name, "policy_digest", now.digest(), "signers", now.signers)
	}
	return old.err != nil, nil
}
