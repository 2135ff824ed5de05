// Package controltest stands in for a kernel and for a signer in tests of what is
// built on top of both. Nothing here enforces anything.
package controltest

import (
	"context"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Engine is an engine.Engine in memory. Like pinned programs it outlives the
// Control that uses it: hand it to the next one to play a restart.
type Engine struct {
	mu     sync.Mutex
	active *engine.Active
	state  engine.State
	events chan engine.Event

	// BeforeActivate and AfterActivate are called around the switch; an error of
	// the first refuses it. Both may panic, to play a kill.
	BeforeActivate func(engine.Active) error
	AfterActivate  func()
	// BeforeProfile and AfterProfile are those of SetProfile.
	BeforeProfile func(engine.Profile) error
	AfterProfile  func()
	// ModeErr is what SetMode fails with.
	ModeErr error
	// Lies makes every denial fail to happen, as with programs that are attached
	// and never called.
	Lies bool
	// Activations counts the switches.
	Activations int
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Profiler = (*Engine)(nil)
)

// NewEngine returns an engine without policy.
func NewEngine() *Engine {
	return &Engine{events: make(chan engine.Event, 1024), state: engine.State{Hooks: []string{"bprm_check_security"}}}
}

// Name implements engine.Engine.
func (*Engine) Name() string { return "fake" }

// Capabilities implements engine.Engine.
func (*Engine) Capabilities() []engine.Capability {
	return []engine.Capability{{Name: "fsverity_signature", Detail: "not in a fake"}}
}

// Unavailable implements engine.Engine.
func (*Engine) Unavailable() policy.KeySet { return policy.Keys(policy.FSVeritySignature) }

// Activate implements engine.Engine.
func (e *Engine) Activate(a engine.Active) error {
	if e.BeforeActivate != nil {
		if err := e.BeforeActivate(a); err != nil {
			return err
		}
	}
	e.mu.Lock()
	e.active = &a
	e.state.HasPolicy, e.state.ID = true, a.ID
	e.state.Generation++
	e.Activations++
	e.mu.Unlock()
	if e.AfterActivate != nil {
		e.AfterActivate()
	}
	return nil
}

// SetMode implements engine.Engine.
func (e *Engine) SetMode(m engine.Mode) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ModeErr != nil {
		return e.ModeErr
	}
	e.state.Mode = m
	return nil
}

// SetProfile implements engine.Profiler.
func (e *Engine) SetProfile(p engine.Profile) error {
	if e.BeforeProfile != nil {
		if err := e.BeforeProfile(p); err != nil {
			return err
		}
	}
	e.Change(func(s *engine.State) { s.Profile = p })
	if e.AfterProfile != nil {
		e.AfterProfile()
	}
	return nil
}

// State implements engine.Engine.
func (e *Engine) State() (engine.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state, nil
}

// SelfTest asks the held policy about a plain file.
func (e *Engine) SelfTest(engine.Active) (engine.SelfTest, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := engine.Probe{Name: "exec-memfd", Want: "ok", Got: "ok", OK: true}
	denied := eval.Decide(e.active.Policy, eval.Event{Op: policy.OpExecute}).Action == policy.Deny && e.state.Mode.Enforce
	if denied {
		p.Want, p.Got = "EACCES", "EACCES"
	}
	if denied && e.Lies {
		p.Got, p.OK = "ok", false
	}
	return engine.SelfTest{Time: time.Unix(1, 0), Probes: []engine.Probe{p}, DenialSeen: denied && p.OK, Failed: !p.OK}, nil
}

// Change changes what the kernel holds.
func (e *Engine) Change(fn func(*engine.State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn(&e.state)
}

// Emit makes the engine report a decision.
func (e *Engine) Emit(ev engine.Event) { e.events <- ev }

// Events implements engine.Engine.
func (e *Engine) Events(ctx context.Context, fn func(engine.Event)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-e.events:
			fn(ev)
		}
	}
}

// Close implements engine.Engine.
func (*Engine) Close() error { return nil }
