package control

import (
	"errors"
	"fmt"
)

// Deploy takes up a policy that came with the machine, from a file that is called
// from: if there is none of its name, it is loaded; if there is an older one, that is
// updated; and what is new thus becomes active. One that is there already, or in a
// newer version, is left as it is, active or not: what an administrator has chosen
// since counts.
//
// An error is also a problem that Status shows. Errors are those of Load, Update and
// Activate; after one of the last, the policy is loaded and not active.
func (c *Control) Deploy(from string, envelope []byte) error {
	c.change.Lock()
	defer c.change.Unlock()
	c.follow()
	if err := c.deploy(from, envelope); err != nil {
		return c.problem(fmt.Sprintf("policy file %q", from), err)
	}
	return nil
}

func (c *Control) deploy(from string, envelope []byte) error {
	d, err := c.open(envelope)
	if err != nil {
		return err
	}
	switch old, err := c.lookup(d.name); {
	case errors.Is(err, ErrNotFound):
		_, err = c.logLoad(nobody, envelope)
		if err != nil {
			return err
		}
	case old.err == nil && d.policy.Version.Compare(old.policy.Version) <= 0:
		c.log.Info("policy file is not newer than what is loaded", "file", from, "policy_name", d.name,
			"policy_version", d.policy.Version.String(), "loaded_version", old.policy.Version.String())
		return nil
	default:
		if _, err := c.logUpdate(nobody, d.name, envelope); err != nil {
			return err
		}
	}
	return c.logActivate(nobody, d.name)
}
