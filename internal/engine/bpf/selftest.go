package bpf

import (
	"fmt"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/proof"
)

// SelfTest tries each probe on the live kernel and compares the answers with what
// a demands in the present mode. After a test with a denial, or with nothing
// unclear, programs of other builds of the engine are detached.
func (e *Engine) SelfTest(a engine.Active) (engine.SelfTest, error) {
	state, err := e.State()
	if err != nil {
		return engine.SelfTest{}, fmt.Errorf("self-test: %w", err)
	}
	st, err := proof.Run(proof.Subject{
		Policy: a.Policy, Enforce: state.Mode.Enforce, Unavailable: e.Unavailable(), Watch: e.events.watch, Lost: e.ownLost,
	})
	if err != nil {
		return st, err
	}
	after, err := e.State()
	if err != nil {
		return st, fmt.Errorf("self-test: %w", err)
	}
	changed := after.Generation != state.Generation || after.Mode != state.Mode
	if changed || state.ID != a.ID || !st.DenialSeen && !sure(st) {
		return st, nil
	}
	e.remember(a)
	if err := e.removeOtherBuilds(); err != nil {
		e.log.Error("another build of the engine stays attached", "error", err)
	}
	return st, nil
}

// sure reports whether every probe was answered as the policy demands.
func sure(st engine.SelfTest) bool {
	for _, p := range st.Probes {
		if !p.OK {
			return false
		}
	}
	return true
}

// remember notes what the tables were made from, which a process that adopted them
// learns only now.
func (e *Engine) remember(a engine.Active) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active == nil {
		e.active = &a
	}
}
