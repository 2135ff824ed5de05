package control_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/policy"
)

// counting is a sink that adds up what it gets.
type counting struct {
	single, merged uint64
	byPath         map[string]uint64
	changes        int
}

func (s *counting) Put(e trail.Entry) {
	if e.Decision == nil {
		s.changes++
		return
	}
	if e.Decision.Merged == 0 {
		s.single++
	}
	s.merged += e.Decision.Merged
	s.byPath[e.Decision.Path] += max(1, e.Decision.Merged)
}

func (s *counting) Status() api.SinkStatus { return api.SinkStatus{} }

// stormy is a daemon with a policy, whose decisions a test makes.
type stormy struct {
	*machine
	c    *running
	sink *counting
	stop context.CancelFunc
	ran  chan error
}

func newStormy(t *testing.T) *stormy {
	t.Helper()
	s := &stormy{machine: newMachine(t), sink: &counting{byPath: map[string]uint64{}}, ran: make(chan error, 1)}
	s.sinks = []trail.Sink{s.sink}
	s.c = s.started()
	if _, err := s.c.Load(s.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := s.c.Activate("site"); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(t.Context())
	go func() { s.ran <- s.c.Run(ctx) }()
	return s
}

// end waits until so many decisions are counted, and ends the daemon.
func (s *stormy) end(t *testing.T, want uint64) api.Status {
	t.Helper()
	await.Until(func() bool {
		st := s.c.Status()
		return st.Recorded+st.Merged+st.OverShare >= want
	})
	s.stop()
	if err := <-s.ran; err != nil {
		t.Error(err)
	}
	return s.c.Status()
}

func denial(uid uint32, path string, pid uint32) engine.Event {
	return engine.Event{
		Time: time.Unix(0, 0), Generation: 1, Enforcing: true, PID: pid, UID: uid, Comm: "sh", Path: path, Device: "vda", Inode: 7,
		Event: eval.Event{Op: policy.OpExecute}, Decision: eval.Decision{Action: policy.Deny, Scope: policy.ScopeGlobal, Rule: eval.NoRule},
	}
}

// TestStormIsCounted: whatever users provoke, each decision is in a record, in a count,
// or over the share of its user, once.
func TestStormIsCounted(t *testing.T) {
	for seed := range uint64(5) {
		s := newStormy(t)
		random := rand.New(rand.NewPCG(seed, 8))
		const n = 20_000
		kinds := 1 << random.IntN(14)
		byPath := map[string]uint64{}
		for i := range n {
			e := denial(uint32(random.IntN(3)), fmt.Sprint("/", random.IntN(kinds)), uint32(i))
			e.NoUID = random.IntN(10) == 0
			byPath[e.Path]++
			s.engine.Emit(e)
		}
		st := s.end(t, n)
		t.Logf("seed %d, %d kinds: %d recorded, %d merged, %d over the share", seed, kinds, st.Recorded, st.Merged, st.OverShare)
		if st.Recorded+st.Merged+st.OverShare != n {
			t.Errorf("seed %d: %d recorded, %d merged, %d over, want %d in all", seed, st.Recorded, st.Merged, st.OverShare, n)
		}
		if s.sink.single != st.Recorded || s.sink.merged != st.Merged {
			t.Errorf("seed %d: the sink got %d and %d, want %d and %d", seed, s.sink.single, s.sink.merged, st.Recorded, st.Merged)
		}
		if st.OverShare == 0 {
			for path, want := range byPath {
				if s.sink.byPath[path] != want {
					t.Errorf("seed %d: %s: %d, want %d", seed, path, s.sink.byPath[path], want)
				}
			}
		}
		var byUser uint64
		for _, u := range st.Users {
			byUser += u.Count
		}
		if byUser != st.OverShare {
			t.Errorf("seed %d: over the share %+v, want %d in all", seed, st.Users, st.OverShare)
		}
	}
}

// TestEqualDenialsAreMerged: the first are told at once, also if each is another
// process's; what differs is not merged; the count comes though nothing else does.
func TestEqualDenialsAreMerged(t *testing.T) {
	s := newStormy(t)
	const equal = 500
	for i := range uint32(equal) {
		s.engine.Emit(denial(0, "/loop", i))
	}
	for i, change := range []func(*engine.Event){
		func(e *engine.Event) { e.UID = 5 },
		func(e *engine.Event) { e.Comm = "other" },
		func(e *engine.Event) { e.Path = "/other" },
		func(e *engine.Event) { e.Inode = 8 },
		func(e *engine.Event) { e.Enforcing = false },
		func(e *engine.Event) { e.Event.Hook = eval.HookMmap },
		func(e *engine.Event) { e.Generation = 9 },
		func(e *engine.Event) { e.Decision.Action = policy.Allow },
	} {
		e := denial(0, "/loop", uint32(1000+i))
		change(&e)
		s.engine.Emit(e)
	}
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	var before, single, merged uint64
	err := s.c.Events(ctx, true, func(r api.Record) error {
		switch {
		case r.PID >= 1000:
			single++
		case r.Merged == 0:
			before++
		}
		if merged += r.Merged; r.Merged > 0 && (r.PID >= equal || r.UID == nil || *r.UID != 0 || r.Path != "/loop") {
			t.Errorf("a count of others: %+v", r)
		}
		if before+merged == equal && single == 8 {
			return context.Canceled
		}
		return nil
	})
	if err == nil || before < 16 || merged == 0 || before+merged != equal || single != 8 {
		t.Errorf("%v: %d records and a count of %d of equal ones, %d of others", err, before, merged, single)
	}
	s.end(t, equal+8)
}

// TestStormLeavesOthers: what one user provokes displaces neither the records of others,
// nor those of changes; nor do the refusals that anybody can ask for.
func TestStormLeavesOthers(t *testing.T) {
	s := newStormy(t)
	for i := range uint32(100) {
		s.engine.Emit(denial(1001, fmt.Sprint("/quiet", i), i))
	}
	const storm = 5000
	for i := range uint32(storm) {
		s.engine.Emit(denial(1000, fmt.Sprint("/storm", i), i))
	}
	for range 5000 {
		s.c.By(audit.Subject{AUID: 1000, Session: 1}).RefuseLoad(api.ErrPrivilege)
	}
	st := s.end(t, storm+100)
	if st.OverShare == 0 || st.Refusals == 0 || len(st.Users) != 1 || st.Users[0] != (api.UserCount{UID: 1000, Count: st.OverShare + st.Refusals}) {
		t.Errorf("over the share: %d and %d, of %+v", st.OverShare, st.Refusals, st.Users)
	}
	quiet := 0
	if err := s.c.Events(t.Context(), false, func(r api.Record) error {
		if strings.HasPrefix(r.Path, "/quiet") {
			quiet++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var types []audit.Type
	if err := s.c.Records(t.Context(), false, func(r api.AuditRecord) error {
		if r.Type != audit.TypeAccess && (r.PolicyLoad == nil || r.PolicyLoad.Errno == 0) {
			types = append(types, r.Type)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if quiet != 100 || len(types) != 2 || types[0] != audit.TypePolicyLoad || types[1] != audit.TypeConfigChange {
		t.Errorf("kept: %d of another user, want 100; changes %v, want a load and an activation", quiet, types)
	}
}

// TestSlowFollowerMissesNoChange: who reads slowly misses decisions, and no change.
func TestSlowFollowerMissesNoChange(t *testing.T) {
	s := newStormy(t)
	const storm = 3000
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	changes, started := 0, false
	err := s.c.Records(ctx, true, func(r api.AuditRecord) error {
		if !started { // the follower stands here for as long as the storm takes
			started = true
			if err := s.c.SetEnforce(false); err != nil {
				return err
			}
			for i := range uint32(storm) {
				s.engine.Emit(denial(0, fmt.Sprint("/", i), i))
			}
			await.Until(func() bool { return s.c.Status().Recorded >= storm })
		}
		if r.Type == audit.TypeStatus {
			if changes++; changes == 2 {
				return context.Canceled
			}
		}
		return nil
	})
	if st := s.end(t, storm); err == nil || changes != 2 || st.Missed == 0 {
		t.Errorf("%v: %d records of the switch, want 2; %d missed", err, changes, st.Missed)
	}
}
