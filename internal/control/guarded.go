package control

import (
	"errors"
	"fmt"
)

// ErrUnguarded: a policy was to decide, and none does.
var ErrUnguarded = errors.New("everything is allowed, though a policy was to be active")

// Guarded returns nil if a policy decides, if none was to, or if the mode is permissive,
// so that nothing would be denied anyway; else an ErrUnguarded that says why. It is to
// be asked after Start.
func (c *Control) Guarded() error {
	st, err := c.eng.State()
	if err != nil {
		return fmt.Errorf("%w: the kernel's state cannot be read: %w", ErrUnguarded, err)
	}
	if st.HasPolicy || st.OtherBuild || !c.Mode().Enforce {
		return nil
	}
	name, stored := c.store.Active()
	switch {
	case stored:
		return fmt.Errorf("%w: %w", ErrUnguarded, c.whyNot(name))
	case c.store.Lost():
		return fmt.Errorf("%w: %w", ErrUnguarded, errors.Join(c.store.Problems()...))
	case c.bootErr != nil:
		return fmt.Errorf("%w: %w", ErrUnguarded, c.bootErr)
	}
	return nil
}

// whyNot says why the stored policy of that name does not decide.
func (c *Control) whyNot(name string) error {
	d, err := c.lookup(name)
	if err != nil {
		return err
	}
	if d.err != nil {
		return fmt.Errorf("%s: %w", policyNamed(name), &unverifiedError{d.err})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%s: %s", policyNamed(name), c.problems[problemEngine])
}
