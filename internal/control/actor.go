package control

import (
	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/errno"
)

// Actor is a Control that acts for somebody, whom the records name. Its methods are
// those of Control; Control's own act for nobody.
type Actor struct {
	c   *Control
	who audit.Subject
	// guard is asked before anything is denied that was allowed.
	guard guard
}

// nobody has no login.
var nobody = audit.Subject{AUID: audit.Unset, Session: audit.Unset}

// By returns c acting for who.
func (c *Control) By(who audit.Subject) Actor { return Actor{c: c, who: who} }

// Careful returns a acting with preflight: Update, Activate and ChangeMode refuse, with
// a *LockoutError, what would newly deny code that the machine runs or needs; and with
// api.ErrNoForecast, if that cannot be told. The kernel's interface knows no such thing.
func (a Actor) Careful() Actor {
	a.guard = a.c.lookAhead
	return a
}

// Load adds a policy.
func (a Actor) Load(envelope []byte) (info api.Info, err error) {
	a.c.changing(func() { info, err = a.c.logLoad(a.who, envelope) })
	return info, err
}

// Update replaces a policy.
func (a Actor) Update(name string, envelope []byte) (info api.Info, err error) {
	a.c.changing(func() { info, err = a.c.logUpdate(a.who, name, envelope, a.guard) })
	return info, err
}

// Activate makes a policy the active one.
func (a Actor) Activate(name string) (err error) {
	a.c.changing(func() { err = a.c.logActivate(a.who, name, a.guard) })
	return err
}

// Delete forgets a policy.
func (a Actor) Delete(name string) error { return a.c.Delete(name) }

// ChangeMode changes enforce, success_audit or both.
func (a Actor) ChangeMode(ch api.ModeChange) (m api.ModeResult, err error) {
	a.c.changing(func() { m, err = a.c.changeMode(a.who, ch, a.guard) })
	return m, err
}

// SetEnforce changes enforce alone.
func (a Actor) SetEnforce(on bool) error {
	_, err := a.ChangeMode(api.ModeChange{Enforce: &on})
	return err
}

// SetSuccessAudit changes success_audit alone.
func (a Actor) SetSuccessAudit(on bool) error {
	_, err := a.ChangeMode(api.ModeChange{SuccessAudit: &on})
	return err
}

// RefuseLoad records that a policy was refused before anybody looked at it.
func (a Actor) RefuseLoad(err error) {
	a.c.trail.Refused(audit.PolicyLoad{Subject: a.who, Errno: uint16(errno.Of(err))})
}
