package control

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/engine"
)

// Actor is a Control that acts for somebody, whom the records name. Its methods are
// those of Control; Control's own act for nobody.
type Actor struct {
	c   *Control
	who audit.Subject
}

// nobody has no login.
var nobody = audit.Subject{AUID: audit.Unset, Session: audit.Unset}

// By returns c acting for who.
func (c *Control) By(who audit.Subject) Actor { return Actor{c, who} }

// SubjectOf returns who a process, or a thread, acts for; nobody if it cannot be looked
// at any more, or if the kernel has no audit.
func SubjectOf(pid uint32) audit.Subject {
	return audit.Subject{AUID: loginNumber(pid, "loginuid"), Session: loginNumber(pid, "sessionid")}
}

func loginNumber(pid uint32, file string) uint32 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return audit.Unset
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return audit.Unset
	}
	return uint32(n)
}

// Load adds a policy.
func (a Actor) Load(envelope []byte) (Info, error) {
	a.c.change.Lock()
	defer a.c.change.Unlock()
	return a.c.logLoad(a.who, envelope)
}

// Update replaces a policy.
func (a Actor) Update(name string, envelope []byte) (Info, error) {
	a.c.change.Lock()
	defer a.c.change.Unlock()
	return a.c.logUpdate(a.who, name, envelope)
}

// Activate makes a policy the active one.
func (a Actor) Activate(name string) error {
	a.c.change.Lock()
	defer a.c.change.Unlock()
	return a.c.logActivate(a.who, name)
}

// Delete forgets a policy.
func (a Actor) Delete(name string) error { return a.c.Delete(name) }

// ChangeMode changes enforce, success_audit or both.
func (a Actor) ChangeMode(ch ModeChange) (engine.Mode, error) {
	a.c.change.Lock()
	defer a.c.change.Unlock()
	return a.c.changeMode(a.who, ch)
}

// SetEnforce changes enforce alone.
func (a Actor) SetEnforce(on bool) error {
	_, err := a.ChangeMode(ModeChange{Enforce: &on})
	return err
}

// SetSuccessAudit changes success_audit alone.
func (a Actor) SetSuccessAudit(on bool) error {
	_, err := a.ChangeMode(ModeChange{SuccessAudit: &on})
	return err
}

// RefuseLoad records that a policy was refused before anybody looked at it.
func (a Actor) RefuseLoad(err error) { a.c.recordLoad(a.who, nil, err) }
