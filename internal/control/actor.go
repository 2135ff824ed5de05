package control

import (
	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/errno"
)

// Actor is somebody who changes something, whom the records name.
type Actor struct{ as request }

// request is what somebody wants to be changed. Who calls its methods holds change.
type request struct {
	*Control
	who audit.Subject
	// guard is asked before anything is denied that was allowed; nil has no objections.
	guard guard
}

// By returns c acting for who.
func (c *Control) By(who audit.Subject) Actor { return Actor{request{c, who, nil}} }

// Careful returns a acting with preflight: Update, Activate and ChangeMode refuse, with
// an *api.LockoutError, what would newly deny code that the machine runs or needs; and with
// api.ErrNoForecast, if that cannot be told. The kernel's interface knows no such thing.
func (a Actor) Careful() Actor {
	a.as.guard = a.as.lookAhead
	return a
}

// Load adds a policy, inactive: what a write to the kernel's new_policy does.
// Errors, in the order of the checks: those of package sign, those of
// policy.Parse, api.ErrExists, api.ErrBadName, api.ErrNameTooLong, and *store.StaleError for
// a version below the floor of its name.
func (a Actor) Load(envelope []byte) (info api.Info, err error) {
	a.as.Changing(func() { info, err = a.as.logLoad(envelope) })
	return info, err
}

// Update replaces the policy called name by a newer one of the same name; if it
// is active the new one is active at once. Errors: api.ErrNotFound, those of package
// sign and of policy.Parse, api.ErrOtherName, api.ErrNotNewer, *store.StaleError for
// a version below the floor, and the engine's, after which the old policy is what it was.
func (a Actor) Update(name string, envelope []byte) (info api.Info, err error) {
	a.as.Changing(func() { info, err = a.as.logUpdate(name, envelope) })
	return info, err
}

// Activate makes the named policy the active one. What is active already stays
// so without error. Errors: api.ErrNotFound, api.ErrUnverified, api.ErrOlder, and the
// engine's, after which the previous policy stays active.
func (a Actor) Activate(name string) (err error) {
	a.as.Changing(func() { err = a.as.logActivate(name) })
	return err
}

// Delete forgets a policy that is not active, nor stored as the one that is to be
// with the next start. Its version floor stays. The boot policy comes back at the
// next start. Errors: api.ErrNotFound, api.ErrIsActive.
func (a Actor) Delete(name string) error {
	a.as.change.Lock()
	defer a.as.change.Unlock()
	return a.as.logDelete(name)
}

// ChangeMode changes enforce, success_audit or both. What is set already is no error.
// After an error the old mode holds.
//
// The kernel comes first, and a store that fails undoes nothing: permissive is the
// brake, and a full disk must not take it away. Such a mode holds until this process
// ends. It is a problem that Status shows, and each later change tries to store it.
func (a Actor) ChangeMode(ch api.ModeChange) (m api.ModeResult, err error) {
	a.as.Changing(func() { m, err = a.as.changeMode(ch) })
	return m, err
}

// SetEnforce changes enforce alone; see ChangeMode.
func (a Actor) SetEnforce(on bool) error {
	_, err := a.ChangeMode(api.ModeChange{Enforce: &on})
	return err
}

// SetSuccessAudit changes success_audit alone; see ChangeMode.
func (a Actor) SetSuccessAudit(on bool) error {
	_, err := a.ChangeMode(api.ModeChange{SuccessAudit: &on})
	return err
}

// RefuseLoad records that a policy was refused before anybody looked at it.
func (a Actor) RefuseLoad(err error) {
	a.as.trail.Refused(audit.PolicyLoad{Subject: a.as.who, Errno: uint16(errno.Of(err))})
}
