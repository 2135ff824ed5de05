package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/policy"
)

// Some engines are a kernel that keeps policies itself, and that others may talk to,
// too: a script, or systemd at boot. Then the kernel has the truth about what is
// loaded, what is active and in which mode, and this process follows it. The store
// has what was asked for here, and returns with the next boot; where the two differ,
// Status says so.

// followTries is how often others may change something while the kernel is read,
// before what was known is taken as good enough.
const followTries = 5

// errUnreadable marks a policy that the kernel took and this release cannot read.
var errUnreadable = errors.New("this release cannot read it")

// resident is a kernel that keeps policies itself, as this process follows it.
type resident struct {
	*persistence
	eng      engine.Engine
	verifier Verifier
}

// follow takes over what the kernel has, where it keeps policies itself.
func (r *resident) follow() {
	if r.keeper == nil {
		return
	}
	for range followTries {
		r.mu.Lock()
		before := r.edits
		r.mu.Unlock()
		held, err := r.keeper.Held()
		st, serr := r.eng.State()
		if err = errors.Join(err, serr); err != nil {
			_ = r.problem(problemKernel, err) // Status shows it
			return
		}
		if r.reconcile(before, held, st) {
			return
		}
	}
}

// reconcile makes what is known what the kernel has; false if this process changed
// something meanwhile.
func (r *resident) reconcile(before uint64, held []engine.Held, st engine.State) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.edits != before {
		return false
	}
	delete(r.problems, problemKernel)
	there := map[string]bool{}
	var active *deployed
	for _, h := range held {
		d := r.take(h)
		there[h.Name] = true
		if h.Active {
			active = d
		}
	}
	for name, d := range r.policies {
		if !there[name] && (d.held || d.err == nil) {
			r.forget(name)
		}
	}
	if active != r.active || st.Mode != r.mode {
		r.turned()
	}
	if active != nil && active != r.active {
		r.log.Info("the kernel decides by", "policy_name", active.name, "policy_digest", active.digest())
	}
	r.active, r.mode = active, st.Mode
	return true
}

// take returns what is known of a policy in the kernel, and describes one that is
// new. The caller holds mu.
func (r *resident) take(h engine.Held) *deployed {
	id := sha256.Sum256(h.Envelope)
	d := r.policies[h.Name]
	if d != nil && d.place != 0 && d.place != h.Place {
		r.forget(h.Name) // it was deleted and loaded again
		d = nil
	}
	if d == nil || d.id != id || d.err != nil && !d.held {
		d = r.describe(h, id)
	}
	d.held, d.place = true, h.Place
	r.admit(d)
	return d
}

// describe says of a policy in the kernel what there is to say. The kernel has
// verified it; who vouches for it here is for people to read.
func (r *resident) describe(h engine.Held, id [32]byte) *deployed {
	d := &deployed{name: h.Name, version: h.Version, envelope: h.Envelope, text: h.Text, id: id, boot: h.Envelope == nil}
	if v, err := r.verifier.Verify(h.Envelope); err == nil {
		d.signers = v.By
	}
	p, err := policy.Parse(h.Text)
	if err != nil {
		d.err = fmt.Errorf("%w: %w", errUnreadable, err)
		return d
	}
	d.policy = p
	return d
}

// startKernel gives a kernel that keeps policies itself those of the store that it
// does not have, and the store what the kernel has of the same names and is newer: an
// update that was cut off before it was stored, or somebody else's.
func (r *resident) startKernel() (errs []error) {
	if r.keeper == nil {
		return nil
	}
	held, err := r.keeper.Held()
	if err != nil {
		return []error{r.problem(problemKernel, err)}
	}
	for _, d := range r.known() {
		if d.err != nil {
			continue
		}
		i := slices.IndexFunc(held, func(h engine.Held) bool { return h.Name == d.name })
		if i < 0 {
			err = r.keeper.Load(d.envelope)
		} else {
			err = r.meet(d, held[i])
		}
		if err != nil {
			r.spoil(d, err)
			errs = append(errs, r.problem(policyNamed(d.name), err))
		}
	}
	r.follow()
	return errs
}

// meet brings together what store and kernel have under one name: the newer counts.
func (r *resident) meet(d *deployed, h engine.Held) error {
	if sha256.Sum256(h.Envelope) == d.id {
		return nil
	}
	other := r.describe(h, sha256.Sum256(h.Envelope))
	switch {
	case other.policy == nil, other.policy.Version.Compare(d.policy.Version) < 0:
		return r.keeper.Update(d.name, d.envelope)
	case other.boot:
		return nil
	}
	return r.keep(other)
}

// differences says where the kernel is not as the store will have it with the next
// boot.
func (r *resident) differences() (all []string) {
	if r.keeper == nil {
		return nil
	}
	r.mu.Lock()
	active, mode := r.active, r.mode
	policies := make(map[string]*deployed, len(r.policies))
	for name, d := range r.policies {
		policies[name] = d
	}
	r.mu.Unlock()
	if want := r.bootMode.at(r.keptMode()); want != mode {
		all = append(all, fmt.Sprintf("%s: others changed it to %s; %s returns with the next start of iped", problemMode, modeWord(mode), modeWord(want)))
	}
	name, ok := r.store.Active()
	if d := policies[name]; ok && (active == nil || active.name != name) && (d == nil || d.err == nil) {
		by := "none"
		if active != nil {
			by = policyNamed(active.name)
		}
		all = append(all, fmt.Sprintf("active policy: the kernel decides by %s; %s returns with the next start of iped unless %s keeps another", by, policyNamed(name), hint.PolicyActivate))
	}
	for _, it := range r.store.List() {
		switch d := policies[it.Name]; {
		case d == nil:
			all = append(all, policyNamed(it.Name)+": others deleted it from the kernel; it returns with the next start of iped")
		case d.err == nil && d.id != it.SHA256:
			all = append(all, fmt.Sprintf("%s: others updated it to %s; the next boot has %s unless %s keeps it", policyNamed(it.Name), d.policy.Version, it.Version, hint.PolicyActivate))
		}
	}
	return all
}

func modeWord(m engine.Mode) string {
	word := "permissive"
	if m.Enforce {
		word = "enforce"
	}
	if m.SuccessAudit {
		word += " with success audit"
	}
	return word
}
