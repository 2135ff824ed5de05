package control

import (
	"context"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/fairqueue"
	"github.com/ipe-linux/ipe/internal/engine"
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

// recorder keeps the last decisions and records, and passes them on.
type recorder struct {
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

func newRecorder(sinks []Sink) *recorder {
	return &recorder{sinks: sinks, policies: map[uint64]*policy.Policy{}, kept: fairqueue.New[Entry](keptRecords, keptChanges),
		followers: map[*follower]struct{}{}}
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

// decided is called by the engine for each decision.
func (r *recorder) decided(e engine.Event) {
	p := e.Policy
	if p == nil {
		r.table.Lock()
		p = r.policies[e.Generation]
		r.table.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.merger.over(now) {
		r.tellMerged(now)
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(mergeWindow, r.flush)
	}
	if r.merger.alone(e, p) {
		r.pass(e, p, 0, now)
	}
}

// flush tells what is held.
func (r *recorder) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellMerged(time.Now())
}

// tellMerged tells what is held, and begins anew. The caller holds mu.
func (r *recorder) tellMerged(now time.Time) {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	for _, k := range r.merger.flush() {
		r.pass(k.last, k.policy, k.held, now)
	}
}

// pass records a decision, or that there were so many more like it, unless its user has
// had enough. One by a rule of a policy that is forgotten has no record, for the record
// would have the rule. The caller holds mu.
func (r *recorder) pass(e engine.Event, p *policy.Policy, merged uint64, now time.Time) {
	if n := max(1, merged); e.UID != 0 && !e.NoUID && !r.shares.take(e.UID, now, n) {
		r.over += n
		return
	}
	if merged > 0 {
		r.merged += merged
	} else {
		r.single++
	}
	rec := describe(e, p)
	rec.Merged = merged
	entry := Entry{Decision: &rec, Owner: ownerOf(e)}
	access, err := accessOf(e, p)
	if err != nil {
		r.unnamed += max(1, merged)
	} else {
		r.serial++
		entry.Header, entry.Record = audit.Header{Time: e.Time, Serial: r.serial}, access
	}
	r.keep(entry)
}

func ownerOf(e engine.Event) uint32 {
	if e.NoUID {
		return unknownUser
	}
	return e.UID
}

// keep passes e on. The caller holds mu, so that all see the same order.
func (r *recorder) keep(e Entry) {
	e.PutInto(r.kept)
	for _, s := range r.sinks {
		s.Put(e)
	}
	for f := range r.followers {
		if _, full := e.PutInto(f.queue); full {
			r.missed++
		}
		select {
		case f.wake <- struct{}{}:
		default: // it is about to look
		}
	}
}

// changed records something that is no decision.
func (r *recorder) changed(rec audit.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serial++
	r.keep(Entry{Header: audit.Header{Time: time.Now(), Serial: r.serial}, Record: rec, Change: true})
}

// refused records that somebody without rights asked for a change. That is no change,
// and anybody can do it as often as he likes.
func (r *recorder) refused(rec audit.PolicyLoad) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.shares.take(rec.Subject.AUID, now, 1) {
		r.refusals++
		return
	}
	r.serial++
	r.keep(Entry{Header: audit.Header{Time: now, Serial: r.serial}, Record: rec, Owner: rec.Subject.AUID})
}

// switched records a switch of enforcement as the kernel does, which opens an empty
// record first and ends it last.
func (r *recorder) switched(s audit.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.serial += 2
	r.keep(Entry{Header: audit.Header{Time: now, Serial: r.serial}, Record: s, Change: true})
	r.keep(Entry{Header: audit.Header{Time: now, Serial: r.serial - 1}, Record: audit.EmptyStatus{}, Change: true})
}

// each calls fn with what is kept and, if follow is set, with what comes.
func (r *recorder) each(ctx context.Context, follow bool, fn func(Entry) error) error {
	f := &follower{queue: fairqueue.New[Entry](followBuffer, followChanges), wake: make(chan struct{}, 1)}
	r.mu.Lock()
	recent := r.kept.All()
	if follow {
		r.followers[f] = struct{}{}
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, f)
	}()
	for _, e := range recent {
		if err := fn(e); err != nil {
			return err
		}
	}
	for follow {
		if e, ok := r.next(f); ok {
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

func (r *recorder) next(f *follower) (Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.queue.Take()
}

// counts are what became of the decisions that the engine reported: the sum of single,
// merged and over is their number.
type counts struct {
	single, merged, over, refusals, unnamed, missed uint64
	users                                           []engine.UserCount
}

func (r *recorder) counts(inEngine []engine.UserCount) counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return counts{
		single: r.single, merged: r.merged + r.merger.held, over: r.over, refusals: r.refusals, unnamed: r.unnamed, missed: r.missed,
		users: r.shares.overBy(inEngine),
	}
}

// statuses are those of all sinks.
func (r *recorder) statuses() []api.SinkStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []api.SinkStatus{}
	for _, s := range r.sinks {
		all = append(all, s.Status())
	}
	return all
}
