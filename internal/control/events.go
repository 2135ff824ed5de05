package control

import (
	"context"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Record is a decision as it is logged and shown. The keys are those of the
// kernel's record 1420.
type Record struct {
	Time      time.Time `json:"time"`
	Action    string    `json:"action"`
	Op        string    `json:"ipe_op"`
	Hook      string    `json:"ipe_hook"`
	Enforcing bool      `json:"enforcing"`
	PID       uint32    `json:"pid"`
	Comm      string    `json:"comm"`
	// Path is as the task's root sees it; empty without a file.
	Path   string `json:"path"`
	Device string `json:"dev"`
	Inode  uint64 `json:"ino"`
	// Rule is the statement that decided, empty if its policy is forgotten.
	Rule string `json:"rule"`
	// Policy is the name of the policy that decided.
	Policy     string `json:"policy_name"`
	Generation uint64 `json:"generation"`
}

const (
	// keptRecords is how many decisions and other records are kept in memory.
	keptRecords = 1000
	// keptPolicies is how many generations a late decision may lag behind.
	keptPolicies = 8
	// followBuffer is how many of them a slow follower may lag behind.
	followBuffer = 256
)

// recorder keeps the last decisions and records, and passes them on.
type recorder struct {
	sinks []Sink

	// table is held while the engine switches, so that a decision of the new
	// generation waits until its policy is known.
	table    sync.Mutex
	policies map[uint64]*policy.Policy

	mu        sync.Mutex
	serial    uint64
	ring      []Entry
	next      int
	total     uint64
	unnamed   uint64
	missed    uint64
	followers map[chan Entry]struct{}
}

func newRecorder(sinks []Sink) *recorder {
	return &recorder{sinks: sinks, policies: map[uint64]*policy.Policy{}, followers: map[chan Entry]struct{}{}}
}

// know notes which policy a generation is. The caller holds table.
func (r *recorder) know(generation uint64, p *policy.Policy) {
	r.policies[generation] = p
	for g := range r.policies {
		if g+keptPolicies <= generation {
			delete(r.policies, g)
		}
	}
}

// decided is called by the engine for each decision. One by a rule of a policy that
// is forgotten has no record, for the record would have the rule.
func (r *recorder) decided(e engine.Event) {
	p := e.Policy
	if p == nil {
		r.table.Lock()
		p = r.policies[e.Generation]
		r.table.Unlock()
	}
	rec := describe(e, p)
	access, err := accessOf(e, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	if err != nil {
		r.unnamed++
		r.keep(Entry{Decision: &rec})
		return
	}
	r.serial++
	r.keep(Entry{Decision: &rec, Header: audit.Header{Time: e.Time, Serial: r.serial}, Record: access})
}

// keep passes e on. The caller holds mu, so that all see the same order.
func (r *recorder) keep(e Entry) {
	if len(r.ring) < keptRecords {
		r.ring = append(r.ring, e)
	} else {
		r.ring[r.next] = e
		r.next = (r.next + 1) % keptRecords
	}
	for _, s := range r.sinks {
		s.Put(e)
	}
	for ch := range r.followers {
		select {
		case ch <- e:
		default:
			r.missed++
		}
	}
}

// recent returns what is kept, oldest first. The caller holds mu.
func (r *recorder) recent() []Entry {
	return append(append([]Entry{}, r.ring[r.next:]...), r.ring[:r.next]...)
}

func describe(e engine.Event, p *policy.Policy) Record {
	rec := Record{
		Time: e.Time, Action: e.Decision.Action.String(), Op: e.Event.Op.String(), Hook: e.Event.Hook.String(),
		Enforcing: e.Enforcing, PID: e.PID, Comm: e.Comm, Path: e.Path, Device: e.Device, Inode: e.Inode,
		Generation: e.Generation,
	}
	if p != nil {
		rec.Policy, rec.Rule = p.Name, ruleText(p, e.Event.Op, e.Decision)
	}
	return rec
}

// ruleText returns the statement of p that decided.
func ruleText(p *policy.Policy, op policy.Op, d eval.Decision) string {
	switch {
	case d.Scope == eval.ScopeRule && d.Rule >= 0 && d.Rule < len(p.Rules):
		return p.Rules[d.Rule].String()
	case d.Scope == eval.ScopeRule:
		return ""
	case d.Scope == eval.ScopeOp:
		return "DEFAULT op=" + op.String() + " action=" + d.Action.String()
	}
	return "DEFAULT action=" + d.Action.String()
}

// Events calls fn with each kept decision, oldest first, and, if follow is set,
// with each new one until ctx ends or fn returns an error. A follower that is too
// slow misses decisions rather than delay anybody; Status counts them.
func (c *Control) Events(ctx context.Context, follow bool, fn func(Record) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Decision == nil {
			return nil
		}
		return fn(*e.Decision)
	})
}

// Records is Events for the records that a kernel with IPE writes, of all types.
func (c *Control) Records(ctx context.Context, follow bool, fn func(audit.JSON) error) error {
	return c.events.each(ctx, follow, func(e Entry) error {
		if e.Record == nil {
			return nil
		}
		return fn(audit.NewJSON(e.Header, e.Record))
	})
}

func (r *recorder) each(ctx context.Context, follow bool, fn func(Entry) error) error {
	ch := make(chan Entry, followBuffer)
	r.mu.Lock()
	recent := r.recent()
	if follow {
		r.followers[ch] = struct{}{}
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.followers, ch)
		r.mu.Unlock()
	}()
	for _, e := range recent {
		if err := fn(e); err != nil {
			return err
		}
	}
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case e := <-ch:
			if err := fn(e); err != nil {
				return err
			}
		}
	}
	return nil
}
