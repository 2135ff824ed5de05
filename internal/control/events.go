package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

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
	// keptRecords is how many decisions are kept in memory.
	keptRecords = 1000
	// keptPolicies is how many generations a late decision may lag behind.
	keptPolicies = 8
	// followBuffer is how many decisions a slow follower may lag behind.
	followBuffer = 256
)

// recorder keeps the last decisions and passes them on.
type recorder struct {
	log *slog.Logger

	// table is held while the engine switches, so that a decision of the new
	// generation waits until its policy is known.
	table    sync.Mutex
	policies map[uint64]*policy.Policy

	mu        sync.Mutex
	ring      []Record
	next      int
	total     uint64
	missed    uint64
	followers map[chan Record]struct{}
}

func newRecorder(log *slog.Logger) *recorder {
	return &recorder{log: log, policies: map[uint64]*policy.Policy{}, followers: map[chan Record]struct{}{}}
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

// record is called by the engine for each decision.
func (r *recorder) record(e engine.Event) {
	r.table.Lock()
	p := r.policies[e.Generation]
	r.table.Unlock()
	rec := describe(e, p)
	r.log.Info("decision", "action", rec.Action, "ipe_op", rec.Op, "ipe_hook", rec.Hook, "enforcing", rec.Enforcing,
		"pid", rec.PID, "comm", rec.Comm, "path", rec.Path, "dev", rec.Device, "ino", rec.Inode,
		"rule", rec.Rule, "policy_name", rec.Policy)
	r.keep(rec)
}

func (r *recorder) keep(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < keptRecords {
		r.ring = append(r.ring, rec)
	} else {
		r.ring[r.next] = rec
		r.next = (r.next + 1) % keptRecords
	}
	r.total++
	for ch := range r.followers {
		select {
		case ch <- rec:
		default:
			r.missed++
		}
	}
}

// recent returns the kept decisions, oldest first. The caller holds mu.
func (r *recorder) recent() []Record {
	return append(append([]Record{}, r.ring[r.next:]...), r.ring[:r.next]...)
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
	r := c.events
	ch := make(chan Record, followBuffer)
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
	for _, rec := range recent {
		if err := fn(rec); err != nil {
			return err
		}
	}
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case rec := <-ch:
			if err := fn(rec); err != nil {
				return err
			}
		}
	}
	return nil
}
