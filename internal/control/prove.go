package control

import (
	"log/slog"
	"time"

	"github.com/ipe-linux/ipe/internal/engine"
)

const (
	// proofAge is how long a self-test may stand for "now" in a status. Each one leaves
	// a few records, so asking often must not repeat it often.
	proofAge = 10 * time.Second
	// proofWait is how long a change waits for a self-test of somebody else, which may
	// wait for records itself, before it leaves its own to that one.
	proofWait = 5 * time.Second
	// proofTries is how often something may change during a self-test, before the next
	// change, or status, has to prove what is then in force.
	proofTries = 3
)

// A self-test takes as long as its records do. So it runs when a change is over, and
// without the lock of changes: nobody waits for it but who made the change, or asks
// for a status. A test that something was changed beside is about neither the old nor
// the new, and is repeated.

// prover runs self-tests of what is in force, one at a time.
type prover struct {
	*register
	eng engine.Engine
	// proving is full while a self-test runs.
	proving chan struct{}
}

// Prove runs the self-test, unless one has run since the last change.
func (c *Control) Prove() { c.prove(proofWait) }

// Changing has fn change something, alone, and then proves what is in force. It waits
// for others' self-tests only if that has become another.
func (p *prover) Changing(fn func()) {
	var wait time.Duration
	func() {
		p.change.Lock()
		defer p.change.Unlock()
		before := p.turnsNow()
		if fn(); p.turnsNow() != before {
			wait = proofWait
		}
	}()
	p.prove(wait)
}

// prove sees to it that there is a self-test of what is in force, which is not old. It
// waits so long for one that runs already.
func (p *prover) prove(wait time.Duration) {
	if !p.beginProof(wait) {
		return
	}
	defer func() { <-p.proving }()
	for range proofTries {
		if p.proven(wait > 0) {
			return
		}
	}
}

// beginProof makes this the only self-test, if it can.
func (p *prover) beginProof(wait time.Duration) bool {
	select {
	case p.proving <- struct{}{}:
		return true
	default:
	}
	if wait == 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case p.proving <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// proven runs the self-test if there is no recent one, and keeps the outcome. It is
// false if something was changed meanwhile. A change that is under way ends with a
// self-test; who is not patient leaves it to that.
func (p *prover) proven(patient bool) bool {
	if patient {
		p.change.Lock()
	} else if !p.change.TryLock() {
		return true
	}
	p.mu.Lock()
	d, turns := p.active, p.turns
	recent := p.selfTest != nil && time.Since(p.selfTest.Time) < proofAge
	p.mu.Unlock()
	p.change.Unlock()
	if d == nil || recent {
		return true
	}
	test, err := p.tested(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turns != turns {
		return false
	}
	p.selfTest, p.testErr = &test, err
	switch {
	case err != nil:
		p.selfTest = nil
		p.log.Error("self-test could not run", "error", err)
	case test.Failed:
		p.log.tell(slog.LevelError, kindSelfTestFailed, "self-test went against the policy", "probes", test.Probes)
	default:
		p.log.Info("self-test", "denial_seen", test.DenialSeen, "probes", len(test.Probes))
	}
	return true
}

// tested runs the self-test on d, if anybody here knows what d demands.
func (p *prover) tested(d *deployed) (engine.SelfTest, error) {
	if d.policy == nil {
		return engine.SelfTest{}, d.err
	}
	return p.eng.SelfTest(d.toEngine())
}
