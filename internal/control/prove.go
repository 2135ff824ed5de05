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

// changing has fn change something, alone, and then proves what is in force. It waits
// for others' self-tests only if that has become another.
func (c *Control) changing(fn func()) {
	var wait time.Duration
	func() {
		c.change.Lock()
		defer c.change.Unlock()
		before := c.turnsNow()
		if fn(); c.turnsNow() != before {
			wait = proofWait
		}
	}()
	c.prove(wait)
}

func (c *Control) turnsNow() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turns
}

// turn notes that from here on what decides may be another policy or mode. It is
// called before the engine hears of it, so that no test that saw the new one counts for
// the old.
func (c *Control) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turned()
}

// turned is turn for a caller that holds mu.
func (c *Control) turned() {
	c.turns++
	c.selfTest, c.testErr = nil, nil
}

// Prove runs the self-test, unless one has run since the last change.
func (c *Control) Prove() { c.prove(proofWait) }

// prove sees to it that there is a self-test of what is in force, which is not old. It
// waits so long for one that runs already.
func (c *Control) prove(wait time.Duration) {
	if !c.beginProof(wait) {
		return
	}
	defer func() { <-c.proving }()
	for range proofTries {
		if c.proven(wait > 0) {
			return
		}
	}
}

// beginProof makes this the only self-test, if it can.
func (c *Control) beginProof(wait time.Duration) bool {
	select {
	case c.proving <- struct{}{}:
		return true
	default:
	}
	if wait == 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case c.proving <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// proven runs the self-test if there is no recent one, and keeps the outcome. It is
// false if something was changed meanwhile. A change that is under way ends with a
// self-test; who is not patient leaves it to that.
func (c *Control) proven(patient bool) bool {
	if patient {
		c.change.Lock()
	} else if !c.change.TryLock() {
		return true
	}
	c.mu.Lock()
	d, turns := c.active, c.turns
	recent := c.selfTest != nil && time.Since(c.selfTest.Time) < proofAge
	c.mu.Unlock()
	c.change.Unlock()
	if d == nil || recent {
		return true
	}
	test, err := c.tested(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turns != turns {
		return false
	}
	c.selfTest, c.testErr = &test, err
	switch {
	case err != nil:
		c.selfTest = nil
		c.log.Error("self-test could not run", "error", err)
	case test.Failed:
		c.tell(slog.LevelError, kindSelfTestFailed, "self-test went against the policy", "probes", test.Probes)
	default:
		c.log.Info("self-test", "denial_seen", test.DenialSeen, "probes", len(test.Probes))
	}
	return true
}

// tested runs the self-test on d, if anybody here knows what d demands.
func (c *Control) tested(d *deployed) (engine.SelfTest, error) {
	if d.policy == nil {
		return engine.SelfTest{}, d.err
	}
	return c.eng.SelfTest(d.toEngine())
}
