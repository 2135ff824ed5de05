package trail

import (
	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/fairqueue"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// Entry is something that happened: a decision, with its record, or a record of
// something else.
type Entry struct {
	// Decision is nil for everything else.
	Decision *api.Record
	// Header and Record are what the kernel's IPE would write. Record is nil for a
	// decision of a policy that is forgotten, and for one of a strict rule.
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

// accessOf is the kernel's record of a decision by a statement.
func accessOf(e engine.Event, by policy.Statement) audit.Access {
	a := audit.Access{Op: e.Event.Op, Hook: e.Event.Hook, Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Rule: audit.Statement(by)}
	if e.Path != "" {
		a.File = &audit.File{Path: e.Path, Dev: e.Device, Ino: e.Inode}
	}
	return a
}

// describe is a decision as it travels, but for what only its policy can tell.
func describe(e engine.Event) api.Record {
	rec := api.Record{
		Time: e.Time, Action: e.Decision.Action.String(), Op: e.Event.Op.String(), Hook: e.Event.Hook.String(),
		Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Path: e.Path, Device: e.Device, Inode: e.Inode,
		Generation: e.Generation,
	}
	if e.Rule != strict.None {
		rec.Strict, rec.Op, rec.Hook, rec.Generation = e.Rule.String(), "", "", 0
		rec.Killed = e.Enforcing && e.Rule.Kills()
	}
	if !e.NoUID {
		uid := e.UID
		rec.UID = &uid
	}
	return rec
}

// AddSink has a sink take all entries from now on, after those that are kept in memory:
// a sink that cannot be opened yet must not delay what it would record.
func (t *Trail) AddSink(s Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.kept.All() {
		s.Put(e)
	}
	t.sinks = append(t.sinks, s)
}
