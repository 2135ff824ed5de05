package control

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// Deploy takes up a policy that came with the machine, from a file that is called
// from: if there is none of its name, it is loaded; if there is an older one, that is
// updated; and what is new thus becomes active. One that is there already, or in a
// newer version, is left as it is, active or not: what an administrator has chosen
// since counts.
//
// What is new is in force then, and proven by the next Prove.
//
// If the store takes nothing, a full or read-only disk, and nothing is active, the policy
// decides all the same, until the next start; that is an error, too.
//
// An error is also a problem that Status shows. Errors are those of Load, Update and
// Activate; after one of the last, the policy is loaded and not active.
func (c *Control) Deploy(from string, envelope []byte) error {
	c.change.Lock()
	defer c.change.Unlock()
	c.follow()
	if err := (request{c, audit.Nobody(), nil}).deploy(from, envelope); err != nil {
		if errors.Is(err, sign.ErrUntrusted) {
			err = fmt.Errorf("%w; when its certificate is among the trusted ones, systemctl reload iped and %s this file, or restart iped", err, hint.PolicyLoad)
		}
		return c.problem(fmt.Sprintf("policy file %s", plain.Name(from)), err)
	}
	return nil
}

func (r request) deploy(from string, envelope []byte) error {
	d, err := r.open(envelope)
	if err != nil {
		return err
	}
	switch old, err := r.lookup(d.name); {
	case errors.Is(err, api.ErrNotFound):
		_, err = r.logLoad(envelope)
		if isDisk(err) {
			return r.deployUnkept(d, err)
		}
		if err != nil {
			return err
		}
	case old.err == nil && d.policy.Version.Compare(old.policy.Version) <= 0:
		r.log.Info("policy file is not newer than what is loaded", "file", from, "policy_name", d.name,
			"policy_version", d.policy.Version.String(), "loaded_version", old.policy.Version.String())
		return nil
	default:
		if _, err := r.logUpdate(d.name, envelope); err != nil {
			return err
		}
	}
	return r.logActivate(d.name)
}

// isDisk reports whether an error is about where policies are kept, not about them.
func isDisk(err error) bool {
	for _, disk := range []error{store.ErrFailed, unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO} {
		if errors.Is(err, disk) {
			return true
		}
	}
	return false
}

// deployUnkept makes a policy decide that could not be stored because of err, unless
// one does.
func (r request) deployUnkept(d *deployed, err error) error {
	if active, _ := r.current(); active != nil || r.keeper != nil {
		return err
	}
	if stale := r.checkFloor(d); stale != nil {
		return stale
	}
	r.put(d)
	return r.switchTo(&r.who, nil, d, func() error { return err })
}
