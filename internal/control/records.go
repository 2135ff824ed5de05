package control

import (
	"fmt"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/fairqueue"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
)

// Entry is something that happened: a decision, with its record, or a record of
// something else.
type Entry struct {
	// Decision is nil for everything else.
	Decision *api.Record
	// Header and Record are what the kernel's IPE would write. Record is nil for a
	// decision of a policy that is forgotten.
	Header audit.Header
	Record audit.Record
	// Change marks what was changed, and has room of its own in every queue. All else is
	// in the room of its Owner, a user's number.
	Change bool
	Owner  uint32
}

// PutInto puts e into a queue. If there is no room, it returns what was displaced.
func (e Entry) PutInto(q *fairqueue.Queue[Entry]) (displaced Entry, full bool) {
	if e.Change {
		return q.PutReserved(e)
	}
	return q.Put(e.Owner, e)
}

// Sink takes entries as they arise, in order. Put is called with locks held and must
// not wait for anything; a sink that cannot follow loses entries and counts them.
type Sink interface {
	Put(e Entry)
	Status() api.SinkStatus
}

// accessOf is the kernel's record of a decision.
func accessOf(e engine.Event, p *policy.Policy) (audit.Access, error) {
	rule, err := eval.StatementOf(p, e.Event.Op, e.Decision)
	if err != nil {
		return audit.Access{}, fmt.Errorf("record decision: %w", err)
	}
	a := audit.Access{Op: e.Event.Op, Hook: e.Event.Hook, Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Rule: audit.Statement(rule)}
	if e.Path != "" {
		a.File = &audit.File{Path: e.Path, Dev: e.Device, Ino: e.Inode}
	}
	return a, nil
}

func (d *deployed) auditID() *audit.PolicyID {
	if d == nil || d.policy == nil {
		return nil
	}
	return &audit.PolicyID{Name: d.name, Version: d.policy.Version, Digest: d.id}
}

// recordLoad records that a policy was loaded or updated, or why not.
func (c *Control) recordLoad(who audit.Subject, d *deployed, err error) {
	r := audit.PolicyLoad{Subject: who, Errno: uint16(errno.Of(err))}
	if err == nil {
		r.Policy = d.auditID()
	}
	c.events.changed(r)
}
