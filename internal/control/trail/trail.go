// Package trail has what happened on this machine: it numbers decisions and the records
// of changes, merges equal ones, gives each user a share, keeps the last of them in memory
// and passes all on to sinks and to whoever follows.
package trail

import (
	"context"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/fairqueue"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

const (
	// keptRecords is how many decisions are kept in memory, keptChanges how many
	// records of changes, which no decision displaces.
	keptRecords = 1000
	keptChanges = 250
	// keptPolicies is how many generations a late decision may lag behind.
	keptPolicies = 8
	// followBuffer and followChanges are how many of them a slow follower may lag behind.
	followBuffer  = 256
	followChanges = 64
)

// Trail keeps the last decisions and records, and passes them on. Its methods may be
// called concurrently.
type Trail struct {
	sinks []Sink

	// table is held while the engine switches, so that a decision of the new
	// generation waits until its policy is known.
	table    sync.Mutex
	policies map[uint64]*policy.Policy

	mu     sync.Mutex
	serial uint64
	kept   *fairqueue.Queue[Entry]
	merger merger
	shares shares
	// timer ends the window of merger if nothing else does.
	timer *time.Timer
	// single counts the decisions that were passed on, merged those that were passed on
	// in a count, over those that were over a share, as were refusals.
	single, merged, over, refusals uint64
	unnamed, missed                uint64
	followers                      map[*follower]struct{}
}

// follower is somebody who waits for entries.
type follower struct {
	queue *fairqueue.Queue[Entry]
	wake  chan struct{}
}

// New returns a trail whose sinks get everything from the beginning.
func New(sinks []Sink) *Trail {
	return &Trail{sinks: sinks, policies: map[uint64]*policy.Policy{}, kept: fairqueue.New[Entry](keptRecords, keptChanges),
		followers: map[*follower]struct{}{}}
}

// Switch calls fn, which makes the engine decide by another policy, and notes which one a
// generation is. Decisions of that generation wait until their policy is known.
func (t *Trail) Switch(p *policy.Policy, fn func() (generation uint64, err error)) error {
	t.table.Lock()
	defer t.table.Unlock()
	generation, err := fn()
	if err == nil {
		t.know(generation, p)
	}
	return err
}

// Know notes which policy a generation is that the engine decides by already.
func (t *Trail) Know(generation uint64, p *policy.Policy) {
	t.table.Lock()
	defer t.table.Unlock()
	t.know(generation, p)
}

// know is Know for a caller that holds table.
func (t *Trail) know(generation uint64, p *policy.Policy) {
	t.policies[generation] = p
	for g := range t.policies {
		if g+keptPolicies <= generation {
			delete(t.policies, g)
		}
	}
}

// Decided is called by the engine for each decision.
func (t *Trail) Decided(e engine.Event) {
	p := e.Policy
	if p == nil {
		t.table.Lock()
		p = t.policies[e.Generation]
		t.table.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.merger.over(now) {
		t.tellMerged(now)
	}
	if t.timer == nil {
		t.timer = time.AfterFunc(mergeWindow, t.Flush)
	}
	if t.merger.alone(e, p) {
		t.pass(e, p, 0, now)
	}
}

// Flush tells what is held to be merged.
func (t *Trail) Flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tellMerged(time.Now())
}

// tellMerged tells what is held, and begins anew. The caller holds mu.
func (t *Trail) tellMerged(now time.Time) {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	for _, k := range t.merger.flush() {
		t.pass(k.last, k.policy, k.held, now)
	}
}

// pass records a decision, or that there were so many more like it, unless its user has
// had enough. One by a rule of a policy that is forgotten has no record, for the record
// would have the rule. The caller holds mu.
func (t *Trail) pass(e engine.Event, p *policy.Policy, merged uint64, now time.Time) {
	if n := max(1, merged); e.UID != 0 && !e.NoUID && !t.shares.take(e.UID, now, n) {
		t.over += n
		return
	}
	if merged > 0 {
		t.merged += merged
	} else {
		t.single++
	}
	rec := describe(e)
	rec.Merged = merged
	entry := Entry{Decision: &rec, Owner: ownerOf(e)}
	if e.Rule != strict.None { // a kernel has no record of it
		t.keep(entry)
		return
	}
	st, err := eval.StatementOf(p, e.Event.Op, e.Decision)
	if err != nil {
		t.unnamed += max(1, merged)
	} else {
		t.serial++
		entry.Header, entry.Record = audit.Header{Time: e.Time, Serial: t.serial}, accessOf(e, st)
	}
	if p != nil {
		rec.Policy = p.Name
	}
	if p != nil && err == nil {
		rec.Statement = &st
	}
	t.keep(entry)
}

func ownerOf(e engine.Event) uint32 {
	if e.NoUID {
		return unknownUser
	}
	return e.UID
}

// keep passes e on. The caller holds mu, so that all see the same order.
func (t *Trail) keep(e Entry) {
	e.PutInto(t.kept)
	for _, s := range t.sinks {
		s.Put(e)
	}
	for f := range t.followers {
		if _, full := e.PutInto(f.queue); full {
			t.missed++
		}
		select {
		case f.wake <- struct{}{}:
		default: // it is about to look
		}
	}
}

// Changed records something that is no decision.
func (t *Trail) Changed(rec audit.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serial++
	t.keep(Entry{Header: audit.Header{Time: time.Now(), Serial: t.serial}, Record: rec, Change: true})
}

// Refused records that somebody without rights asked for a change. That is no change,
// and anybody can do it as often as he likes.
func (t *Trail) Refused(rec audit.PolicyLoad) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.shares.take(rec.Subject.AUID, now, 1) {
		t.refusals++
		return
	}
	t.serial++
	t.keep(Entry{Header: audit.Header{Time: now, Serial: t.serial}, Record: rec, Owner: rec.Subject.AUID})
}

// Switched records a switch of enforcement as the kernel does, which opens an empty
// record first and ends it last.
func (t *Trail) Switched(s audit.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.serial += 2
	t.keep(Entry{Header: audit.Header{Time: now, Serial: t.serial}, Record: s, Change: true})
	t.keep(Entry{Header: audit.Header{Time: now, Serial: t.serial - 1}, Record: audit.EmptyStatus{}, Change: true})
}

// each calls fn with what is kept and, if follow is set, with what comes.
func (t *Trail) each(ctx context.Context, follow bool, fn func(Entry) error) error {
	f := &follower{queue: fairqueue.New[Entry](followBuffer, followChanges), wake: make(chan struct{}, 1)}
	t.mu.Lock()
	recent := t.kept.All()
	if follow {
		t.followers[f] = struct{}{}
	}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.followers, f)
	}()
	for _, e := range recent {
		if err := fn(e); err != nil {
			return err
		}
	}
	for follow {
		if e, ok := t.next(f); ok {
			if err := fn(e); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
	}
	return nil
}

func (t *Trail) next(f *follower) (Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.queue.Take()
}

// Counts are what became of the decisions that the engine reported: the sum of Single,
// Merged and Over is their number.
type Counts struct {
	// Single were passed on by themselves, Merged in a count; Over were over a share, as
	// were Refusals, which are no decisions.
	Single, Merged, Over, Refusals uint64
	// Unnamed have no record, since their policy is forgotten. Missed were too many for a
	// follower.
	Unnamed, Missed uint64
	// Users are those who had too much, the most first.
	Users []engine.UserCount
}

// Counts counts; inEngine are those who had too much there already.
func (t *Trail) Counts(inEngine []engine.UserCount) Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Counts{
		Single: t.single, Merged: t.merged + t.merger.held, Over: t.over, Refusals: t.refusals, Unnamed: t.unnamed, Missed: t.missed,
		Users: t.shares.overBy(inEngine),
	}
}

// Statuses are those of all sinks.
func (t *Trail) Statuses() []api.SinkStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := []api.SinkStatus{}
	for _, s := range t.sinks {
		all = append(all, s.Status())
	}
	return all
}
