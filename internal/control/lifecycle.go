package control

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/errno"
)

// Load adds a policy, inactive: what a write to the kernel's new_policy does.
// Errors, in the order of the checks: those of package sign, those of
// policy.Parse, api.ErrExists, api.ErrBadName, api.ErrNameTooLong, and *store.StaleError for
// a version below the floor of its name.
func (c *Control) Load(envelope []byte) (api.Info, error) {
	return c.By(nobody).Load(envelope)
}

func (c *Control) logLoad(who audit.Subject, envelope []byte) (api.Info, error) {
	c.begin()
	d, err := c.load(envelope)
	c.recordLoad(who, d, err)
	if err != nil {
		c.tell(slog.LevelWarn, kindRefused, "policy refused", "errno", errno.Symbol(err), "error", err)
		return api.Info{}, fmt.Errorf("load policy: %w", err)
	}
	c.put(d)
	c.tell(levelNotice, kindPolicyLoaded, "policy loaded", "policy_name", d.name, "policy_version", d.policy.Version.String(),
		"policy_digest", d.digest(), "signers", d.signers)
	return c.infoOf(d), nil
}

func (c *Control) load(envelope []byte) (*deployed, error) {
	d, err := c.open(envelope)
	if err != nil {
		return nil, err
	}
	if _, err := c.lookup(d.name); err == nil {
		return nil, fmt.Errorf("policy %q: %w", d.name, api.ErrExists)
	}
	if err := api.CheckName(d.name); err != nil {
		return nil, err
	}
	if c.keeper == nil {
		return d, c.store.Put(d.entry())
	}
	return d, c.loadKept(d)
}

// loadKept loads d into a kernel that keeps policies itself, then stores it.
func (c *Control) loadKept(d *deployed) error {
	if err := c.checkFloor(d); err != nil {
		return err
	}
	if err := c.keeper.Load(d.envelope); err != nil {
		return err
	}
	if err := c.keep(d); err != nil {
		return errors.Join(err, c.keeper.Delete(d.name))
	}
	return nil
}

// Update replaces the policy called name by a newer one of the same name; if it
// is active the new one is active at once. Errors: api.ErrNotFound, those of package
// sign and of policy.Parse, api.ErrOtherName, api.ErrNotNewer, *store.StaleError for
// a version below the floor, and the engine's, after which the old policy is what it was.
func (c *Control) Update(name string, envelope []byte) (api.Info, error) {
	return c.By(nobody).Update(name, envelope)
}

func (c *Control) logUpdate(who audit.Subject, name string, envelope []byte, g guard) (api.Info, error) {
	c.begin()
	d, err := c.update(who, name, envelope, g)
	if err != nil {
		c.recordLoad(who, nil, err)
		c.tell(slog.LevelWarn, kindRefused, "update refused", "policy_name", name, "errno", errno.Symbol(err), "error", err)
		return api.Info{}, fmt.Errorf("update policy: %w", err)
	}
	c.tell(levelNotice, kindPolicyUpdated, "policy updated", "policy_name", d.name, "policy_version", d.policy.Version.String(),
		"policy_digest", d.digest(), "signers", d.signers)
	return c.infoOf(d), nil
}

func (c *Control) update(who audit.Subject, name string, envelope []byte, g guard) (*deployed, error) {
	old, err := c.lookup(name)
	if err != nil {
		return nil, err
	}
	d, err := c.open(envelope)
	if err != nil {
		return nil, err
	}
	if d.name != name {
		return nil, fmt.Errorf("policy %q, update is %q: %w", name, d.name, api.ErrOtherName)
	}
	if old.policy != nil && d.policy.Version.Compare(old.policy.Version) <= 0 {
		return nil, fmt.Errorf("policy %q %s, update is %s: %w", name, old.policy.Version, d.policy.Version, api.ErrNotNewer)
	}
	if err := c.checkFloor(d); err != nil {
		return nil, err
	}
	return d, c.replace(who, old, d, g)
}

// replace puts d in the place of old. It decides if old does, or would if it
// still verified.
func (c *Control) replace(who audit.Subject, old, d *deployed, g guard) error {
	active, mode := c.current()
	decides := old == active || old.err != nil && c.isStoredActive(d.name)
	persist := func() error { return c.persistUpdate(d, decides) }
	if !decides {
		if c.keeper != nil {
			if err := c.keeper.Update(d.name, d.envelope); err != nil {
				return err
			}
		}
		if err := persist(); err != nil {
			return err
		}
		c.put(d)
		c.recordLoad(who, d, nil)
		return nil
	}
	if err := g.askSwitch(active, d, mode); err != nil {
		return err
	}
	if err := c.switchTo(&who, active, d, persist); err != nil {
		return err
	}
	c.put(d)
	c.recordLoad(who, d, nil)
	c.became(&who, active, d)
	return nil
}

// Activate makes the named policy the active one. What is active already stays
// so without error. Errors: api.ErrNotFound, api.ErrUnverified, api.ErrOlder, and the
// engine's, after which the previous policy stays active.
func (c *Control) Activate(name string) error {
	return c.By(nobody).Activate(name)
}

func (c *Control) logActivate(who audit.Subject, name string, g guard) error {
	c.begin()
	if err := c.activate(who, name, g); err != nil {
		c.tell(slog.LevelWarn, kindRefused, "activation refused", "policy_name", name, "errno", errno.Symbol(err), "error", err)
		return fmt.Errorf("activate policy: %w", err)
	}
	return nil
}

func (c *Control) activate(who audit.Subject, name string, g guard) error {
	d, err := c.lookup(name)
	if err != nil {
		return err
	}
	active, mode := c.current()
	if d == active && c.inForce(d) {
		return c.keepActive(d)
	}
	if d.err != nil {
		return fmt.Errorf("policy %q: %w", name, &unverifiedError{d.err})
	}
	if active != nil && active.policy != nil && active.policy.Version.Compare(d.policy.Version) > 0 {
		return fmt.Errorf("policy %q %s, active is %q %s: %w", name, d.policy.Version, active.name, active.policy.Version, api.ErrOlder)
	}
	if err := c.checkFloor(d); err != nil {
		return err
	}
	if err := g.askSwitch(active, d, mode); err != nil {
		return err
	}
	if err := c.switchTo(&who, active, d, func() error { return c.persistActive(d) }); err != nil {
		return err
	}
	c.became(&who, active, d)
	return nil
}

// Delete forgets a policy that is not active, nor stored as the one that is to be
// with the next start. Its version floor stays. The boot policy comes back at the
// next start. Errors: api.ErrNotFound, api.ErrIsActive.
func (c *Control) Delete(name string) error {
	c.change.Lock()
	defer c.change.Unlock()
	return c.logDelete(name)
}

func (c *Control) logDelete(name string) error {
	c.begin()
	if err := c.delete(name); err != nil {
		return fmt.Errorf("delete policy: %w", err)
	}
	c.tell(levelNotice, kindPolicyDeleted, "policy deleted", "policy_name", name)
	return nil
}

func (c *Control) delete(name string) error {
	d, err := c.lookup(name)
	if err != nil {
		return err
	}
	if active, _ := c.current(); d == active {
		return fmt.Errorf("policy %q: %w", name, api.ErrIsActive)
	}
	if c.isStoredActive(name) && !d.boot {
		return fmt.Errorf("policy %q, with the next start: %w", name, api.ErrIsActive)
	}
	if c.keeper != nil && d.held {
		if err := c.keeper.Delete(name); err != nil {
			return err
		}
	}
	if _, ok := c.stored(name); ok {
		if err := c.store.Delete(name); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(name)
	delete(c.problems, problemOf(name))
	return nil
}

func (c *Control) put(d *deployed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admit(d)
	delete(c.problems, problemOf(d.name))
}
