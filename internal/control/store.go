package control

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
)

// Store keeps what must survive; *store.Store is one.
type Store interface {
	List() []store.Item
	Get(name string) (store.Entry, error)
	Put(e store.Entry) error
	Replace(e store.Entry) error
	Delete(name string) error
	SetActive(name string) error
	Active() (name string, ok bool)
	SetMode(m store.Mode) error
	Mode() store.Mode
	Floor(name string) (floor policy.Version, ok bool)
	// Problems are what an administrator should look at, Lost says that nobody knows
	// whether a policy is to be active.
	Problems() []error
	Lost() bool
}

func (d *deployed) entry() store.Entry {
	return store.Entry{Name: d.name, Version: d.policy.Version, Envelope: d.envelope}
}

// persistUpdate stores d in the place of the one of its name. There is none if that
// is the boot policy, or if others loaded it into the kernel.
func (c *Control) persistUpdate(d *deployed, decides bool) error {
	if _, ok := c.stored(d.name); ok {
		if err := c.store.Replace(d.entry()); err != nil || !decides || c.isStoredActive(d.name) {
			return err
		}
		return c.store.SetActive(d.name)
	}
	if err := c.store.Put(d.entry()); err != nil || !decides {
		return err
	}
	if err := c.store.SetActive(d.name); err != nil {
		return errors.Join(err, c.store.Delete(d.name))
	}
	return nil
}

// persistActive stores the choice of d. The boot policy is never stored, nor is
// its choice: the stored active policy, if there is one, returns with the next
// start.
func (c *Control) persistActive(d *deployed) error {
	if d.boot {
		return nil
	}
	if c.keeper != nil {
		if err := c.keep(d); err != nil {
			return err
		}
	}
	return c.store.SetActive(d.name)
}

// keepActive stores that d, which is active already, is to be so: others may have
// made it active in the kernel.
func (c *Control) keepActive(d *deployed) error {
	if c.keeper == nil || d.boot || c.isStoredActive(d.name) && c.kept(d) {
		return nil
	}
	if err := c.persistActive(d); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.problems, problemEngine) // it was about what was kept before
	return nil
}

func (c *Control) isStoredActive(name string) bool {
	active, ok := c.store.Active()
	return ok && active == name
}

// checkFloor refuses a version below the floor before the engine sees it.
func (c *Control) checkFloor(d *deployed) error {
	floor, ok := c.store.Floor(d.name)
	if !d.boot && ok && d.policy.Version.Compare(floor) < 0 {
		return &store.StaleError{Name: d.name, Have: floor, Got: d.policy.Version}
	}
	return nil
}

// readStore takes up all stored policies, verifying each anew.
func (c *Control) readStore() []error {
	errs := c.store.Problems()
	for _, err := range errs {
		c.tell(slog.LevelError, kindProblem, "problem", "with", problemDisk, "errno", errno.Symbol(err), "error", err)
	}
	for _, item := range c.store.List() {
		d := c.reopen(item)
		c.mu.Lock()
		c.admit(d)
		c.mu.Unlock()
		if d.err != nil {
			errs = append(errs, c.problem(problemOf(d.name), unverified(d.err)))
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
		err = fmt.Errorf("holds policy %q: %w", d.name, api.ErrOtherName)
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
