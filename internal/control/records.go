package control

import (
	"fmt"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Entry is something that happened: a decision, with its record, or a record of
// something else.
type Entry struct {
	// Decision is nil for everything else.
	Decision *Record
	// Header and Record are what the kernel's IPE would write. Record is nil for a
	// decision of a policy that is forgotten.
	Header audit.Header
	Record audit.Record
}

// Sink takes entries as they arise, in order. Put is called with locks held and must
// not wait for anything; a sink that cannot follow loses entries and counts them.
type Sink interface {
	Put(e Entry)
	Status() SinkStatus
}

// SinkStatus is what a sink has done.
type SinkStatus struct {
	// Name is as on iped's command line.
	Name    string `json:"name"`
	Written uint64 `json:"written"`
	Lost    uint64 `json:"lost"`
	// Error is why the last one was lost, empty if it was not.
	Error string `json:"error"`
}

// accessOf is the kernel's record of a decision.
func accessOf(e engine.Event, p *policy.Policy) (audit.Access, error) {
	rule, err := audit.StatementOf(p, e.Event.Op, e.Decision)
	if err != nil {
		return audit.Access{}, fmt.Errorf("record decision: %w", err)
	}
	a := audit.Access{Op: e.Event.Op, Hook: e.Event.Hook, Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Rule: rule}
	if e.Path != "" {
		a.File = &audit.File{Path: e.Path, Dev: e.Device, Ino: e.Inode}
	}
	return a, nil
}

// changed records something that is no decision.
func (r *recorder) changed(rec audit.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serial++
	r.keep(Entry{Header: audit.Header{Time: time.Now(), Serial: r.serial}, Record: rec})
}

// switched records a switch of enforcement as the kernel does, which opens an empty
// record first and ends it last.
func (r *recorder) switched(s audit.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.serial += 2
	r.keep(Entry{Header: audit.Header{Time: now, Serial: r.serial}, Record: s})
	r.keep(Entry{Header: audit.Header{Time: now, Serial: r.serial - 1}, Record: audit.EmptyStatus{}})
}

// statuses are those of all sinks.
func (r *recorder) statuses() []SinkStatus {
	all := []SinkStatus{}
	for _, s := range r.sinks {
		all = append(all, s.Status())
	}
	return all
}

func (d *deployed) auditID() *audit.PolicyID {
	if d == nil || d.policy == nil {
		return nil
	}
	return &audit.PolicyID{Name: d.name, Version: d.policy.Version, Digest: d.id}
}

// recordLoad records that a policy was loaded or updated, or why not.
func (c *Control) recordLoad(who audit.Subject, d *deployed, err error) {
	r := audit.PolicyLoad{Subject: who, Errno: uint16(Errno(err))}
	if err == nil {
		r.Policy = d.auditID()
	}
	c.events.changed(r)
}
