package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// slow is an engine whose self-tests take until the test lets them end.
type slow struct {
	engine.Engine
	begun chan engine.Active
	end   chan engine.SelfTest
}

func (s *slow) SelfTest(a engine.Active) (engine.SelfTest, error) {
	s.begun <- a
	return <-s.end, nil
}

var (
	seen   = engine.SelfTest{Time: time.Now().Add(time.Hour), DenialSeen: true, Probes: []engine.Probe{{OK: true}}}
	failed = engine.SelfTest{Time: time.Now().Add(time.Hour), Failed: true, Probes: []engine.Probe{{Name: "exec", Want: "EACCES", Got: "ok"}}}
)

func newSlow(t *testing.T) (*machine, *running, *slow) {
	t.Helper()
	m := newMachine(t)
	m.started()
	eng := &slow{Engine: m.engine, begun: make(chan engine.Active), end: make(chan engine.SelfTest)}
	c := newRunning(control.Config{Store: m.store, Verifier: control.Certificates(m.signer.Keyring()), Engine: eng})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	return m, c, eng
}

// soon demands what a channel gives within a time that no wait for a record is part of.
func soon[T any](t *testing.T, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(await.Limit):
		t.Fatalf("%s: not after %v", what, await.Limit)
	}
	return v
}

// TestNobodyWaitsForSelfTest: while one runs, changes are made and states are told. What
// it saw of the policy before a change, or of none, is no proof of the one after.
func TestNobodyWaitsForSelfTest(t *testing.T) {
	m, c, eng := newSlow(t)
	activated, updated := make(chan error, 1), make(chan error, 1)
	go func() { activated <- c.Activate("site") }()
	first := soon(t, "the first self-test", eng.begun)

	if _, err := c.Load(m.signed("other", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, c, "active, not proven: the self-test is not done yet")
	go func() {
		_, err := c.Update("site", m.signed("site", "2.0.0"))
		updated <- err
	}()
	if !await.Until(func() bool { st, err := m.engine.State(); return err == nil && st.ID != first.ID }) {
		t.Fatal("the update waits for the self-test")
	}
	eng.end <- seen
	second := soon(t, "the second self-test", eng.begun)
	if second.ID == first.ID || second.Policy.Version.String() != "2.0.0" {
		t.Errorf("the second self-test is about %s", second.Policy.Version)
	}
	if s := c.Status(); s.Enforcing || !strings.HasPrefix(s.Summary, "active, not proven: ") {
		t.Errorf("%q, by a self-test of another policy", s.Summary)
	}
	eng.end <- failed
	for _, ch := range []chan error{activated, updated} {
		if err := soon(t, "the change", ch); err != nil {
			t.Error(err)
		}
	}
	wantSummary(t, c, "NOT ENFORCING: self-test exec: the policy demands EACCES, the kernel answered ok")
}

// TestSelfTestBesideModeChange: as above, with the mode.
func TestSelfTestBesideModeChange(t *testing.T) {
	_, c, eng := newSlow(t)
	done := make(chan error, 2)
	go func() { done <- c.Activate("site") }()
	soon(t, "the first self-test", eng.begun)
	go func() { done <- c.SetEnforce(false) }()
	if !await.Until(func() bool { return !c.Mode().Enforce }) {
		t.Fatal("the change of mode waits for the self-test")
	}
	eng.end <- seen
	soon(t, "the second self-test", eng.begun)
	wantSummary(t, c, "permissive")
	eng.end <- engine.SelfTest{Time: seen.Time}
	for range 2 {
		if err := soon(t, "the change", done); err != nil {
			t.Error(err)
		}
	}
	go func() { done <- c.SetEnforce(true) }()
	soon(t, "the third self-test", eng.begun)
	wantSummary(t, c, "active, not proven: the self-test is not done yet")
	eng.end <- seen
	if err := soon(t, "the change", done); err != nil {
		t.Error(err)
	}
	wantSummary(t, c, "enforcing")
}

// TestHungSelfTest: one that does not end keeps no change from ending.
func TestHungSelfTest(t *testing.T) {
	m, c, eng := newSlow(t)
	go c.Activate("site") // it hangs
	soon(t, "the self-test", eng.begun)
	updated := make(chan error, 1)
	go func() {
		_, err := c.Update("site", m.signed("site", "2.0.0"))
		updated <- err
	}()
	if err := soon(t, "the update", updated); err != nil {
		t.Error(err)
	}
	wantSummary(t, c, "active, not proven: the self-test is not done yet")
	eng.end <- seen
	soon(t, "the second self-test", eng.begun)
	eng.end <- seen
	await.Until(func() bool { return c.Status().Enforcing })
	wantSummary(t, c, "enforcing")
}
