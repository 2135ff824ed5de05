package control

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/plain"
)

// register is what this process knows: policies and which of them is active, the mode, the
// last self-test, problems. Its methods may be called concurrently.
type register struct {
	log teller

	// change serialises the methods that change something. It is held while the
	// engine works, mu never is, so that reading does not wait for the engine.
	change sync.Mutex

	mu       sync.Mutex
	policies map[string]*deployed
	// places numbers the names in policies; see Place.
	places    map[string]uint64
	lastPlace uint64
	active    *deployed
	mode      engine.Mode
	selfTest  *engine.SelfTest
	testErr   error
	problems  map[string]string
	// edits counts the changes of policies, active and mode by this process.
	edits uint64
	// turns counts the changes, by anybody, of what decides: policy and mode. An outcome
	// of a self-test is about one of them.
	turns uint64
}

func newRegister(log teller) *register {
	return &register{
		log: log, policies: map[string]*deployed{}, places: map[string]uint64{}, problems: map[string]string{},
		mode: engine.Mode{Enforce: true},
	}
}

// Keys of problems that do not belong to one policy.
const (
	problemBoot   = "boot policy"
	problemDisk   = "state directory"
	problemEngine = "engine"
	problemKept   = "stored mode"
	problemKernel = "kernel"
	problemMode   = "mode"
	problemStore  = "store"
)

func policyNamed(name string) string { return fmt.Sprintf("policy %s", plain.Name(name)) }

// lookup returns the policy of that name.
func (r *register) lookup(name string) (*deployed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.policies[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", policyNamed(name), api.ErrNotFound)
	}
	return d, nil
}

func (r *register) current() (*deployed, engine.Mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active, r.mode
}

func (r *register) put(d *deployed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admit(d)
	delete(r.problems, policyNamed(d.name))
}

// admit makes d what its name means. The caller holds mu.
func (r *register) admit(d *deployed) {
	r.edits++
	r.policies[d.name] = d
	if _, ok := r.places[d.name]; !ok {
		r.lastPlace++
		r.places[d.name] = r.lastPlace
	}
}

// forget drops a policy. The caller holds mu.
func (r *register) forget(name string) {
	r.edits++
	delete(r.policies, name)
	delete(r.places, name)
}

// known returns all policies.
func (r *register) known() (all []*deployed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.policies {
		all = append(all, d)
	}
	return all
}

// spoil notes that the kernel does not take the policy.
func (r *register) spoil(d *deployed, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.err = err
	r.edits++
}

// swap puts what is known now of a policy in the place of what was. What the kernel
// itself holds stays usable, whoever vouches for it here.
func (r *register) swap(old, now *deployed) {
	next := *old
	next.signers = now.signers
	if !old.held {
		next.err = now.err
	}
	if next.policy == nil {
		next.policy = now.policy
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policies[old.name] != old {
		return // others changed it in the kernel meanwhile
	}
	r.admit(&next)
	if r.active == old {
		r.active = &next
	}
}

func (r *register) turnsNow() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.turns
}

// Turn notes that from here on what decides may be another policy or mode. It is
// called before the engine hears of it, so that no test that saw the new one counts for
// the old.
func (r *register) Turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turned()
}

// turned is Turn for a caller that holds mu.
func (r *register) turned() {
	r.turns++
	r.selfTest, r.testErr = nil, nil
}

func (r *register) setActive(d *deployed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turned()
	r.active = d
	r.edits++
}

func (r *register) modeBecame(m, old engine.Mode) {
	r.mu.Lock()
	r.mode = m
	r.edits++
	r.turned()
	delete(r.problems, problemMode)
	r.mu.Unlock()
	r.log.tell(levelNotice, kindModeChanged, "mode changed", "enforcing", m.Enforce, "old_enforcing", old.Enforce, "success_audit", m.SuccessAudit)
}

// problem notes and logs something an administrator must see.
func (r *register) problem(key string, err error) error {
	r.mu.Lock()
	r.problems[key] = err.Error()
	r.mu.Unlock()
	r.log.tell(slog.LevelError, kindProblem, "problem", "with", key, "errno", errno.Symbol(err), "error", err)
	return fmt.Errorf("%s: %w", key, err)
}

// setProblem is SetProblem of [Control].
func (r *register) setProblem(name string, err error) {
	if err != nil {
		_ = r.problem(name, err) // it is the same error
		return
	}
	r.mu.Lock()
	_, was := r.problems[name]
	delete(r.problems, name)
	r.mu.Unlock()
	if was {
		r.log.tell(levelNotice, kindSolved, "solved", "with", name)
	}
}
