package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ipe-linux/ipe/internal/control/store"
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

// follow takes over what the kernel has, where it keeps policies itself.
func (c *Control) follow() {
	if c.keeper == nil {
		return
	}
	for range followTries {
		c.mu.Lock()
		before := c.edits
		c.mu.Unlock()
		held, err := c.keeper.Held()
		st, serr := c.eng.State()
		if err = errors.Join(err, serr); err != nil {
			_ = c.problem(problemKernel, err) // Status shows it
			return
		}
		if c.reconcile(before, held, st) {
			return
		}
	}
}

// reconcile makes what is known what the kernel has; false if this process changed
// something meanwhile.
func (c *Control) reconcile(before uint64, held []engine.Held, st engine.State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.edits != before {
		return false
	}
	delete(c.problems, problemKernel)
	there := map[string]bool{}
	var active *deployed
	for _, h := range held {
		d := c.take(h)
		there[h.Name] = true
		if h.Active {
			active = d
		}
	}
	for name, d := range c.policies {
		if !there[name] && (d.held || d.err == nil) {
			c.forget(name)
		}
	}
	if active != c.active || st.Mode != c.mode {
		c.turned()
	}
	if active != nil && active != c.active {
		c.log.Info("the kernel decides by", "policy_name", active.name, "policy_digest", active.digest())
	}
	c.active, c.mode = active, st.Mode
	return true
}

// take returns what is known of a policy in the kernel, and describes one that is
// new. The caller holds mu.
func (c *Control) take(h engine.Held) *deployed {
	id := sha256.Sum256(h.Envelope)
	d := c.policies[h.Name]
	if d != nil && d.place != 0 && d.place != h.Place {
		c.forget(h.Name) // it was deleted and loaded again
		d = nil
	}
	if d == nil || d.id != id || d.err != nil && !d.held {
		d = c.describe(h, id)
	}
	d.held, d.place = true, h.Place
	c.admit(d)
	return d
}

// describe says of a policy in the kernel what there is to say. The kernel has
// verified it; who vouches for it here is for people to read.
func (c *Control) describe(h engine.Held, id [32]byte) *deployed {
	d := &deployed{name: h.Name, version: h.Version, envelope: h.Envelope, text: h.Text, id: id, boot: h.Envelope == nil}
	if v, err := c.verifier.Verify(h.Envelope); err == nil {
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

// forget drops a policy. The caller holds mu.
func (c *Control) forget(name string) {
	c.edits++
	delete(c.policies, name)
	delete(c.places, name)
}

// stored returns what the store has of that name.
func (c *Control) stored(name string) (store.Item, bool) {
	items := c.store.List()
	i := slices.IndexFunc(items, func(it store.Item) bool { return it.Name == name })
	if i < 0 {
		return store.Item{}, false
	}
	return items[i], true
}

// kept reports whether the store has this very policy.
func (c *Control) kept(d *deployed) bool {
	it, ok := c.stored(d.name)
	return ok && it.SHA256 == d.id
}

// keep stores the policy, in the place of another of its name if there is one.
func (c *Control) keep(d *deployed) error {
	switch it, ok := c.stored(d.name); {
	case !ok:
		return c.store.Put(d.entry())
	case it.SHA256 == d.id:
		return nil
	}
	return c.store.Replace(d.entry())
}

// startKernel gives a kernel that keeps policies itself those of the store that it
// does not have, and the store what the kernel has of the same names and is newer: an
// update that was cut off before it was stored, or somebody else's.
func (c *Control) startKernel() (errs []error) {
	if c.keeper == nil {
		return nil
	}
	held, err := c.keeper.Held()
	if err != nil {
		return []error{c.problem(problemKernel, err)}
	}
	for _, d := range c.known() {
		if d.err != nil {
			continue
		}
		i := slices.IndexFunc(held, func(h engine.Held) bool { return h.Name == d.name })
		if i < 0 {
			err = c.keeper.Load(d.envelope)
		} else {
			err = c.meet(d, held[i])
		}
		if err != nil {
			c.spoil(d, err)
			errs = append(errs, c.problem(problemOf(d.name), err))
		}
	}
	c.follow()
	return errs
}

// known returns all policies.
func (c *Control) known() (all []*deployed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.policies {
		all = append(all, d)
	}
	return all
}

// meet brings together what store and kernel have under one name: the newer counts.
func (c *Control) meet(d *deployed, h engine.Held) error {
	if sha256.Sum256(h.Envelope) == d.id {
		return nil
	}
	other := c.describe(h, sha256.Sum256(h.Envelope))
	switch {
	case other.policy == nil, other.policy.Version.Compare(d.policy.Version) < 0:
		return c.keeper.Update(d.name, d.envelope)
	case other.boot:
		return nil
	}
	return c.keep(other)
}

// spoil notes that the kernel does not take the policy.
func (c *Control) spoil(d *deployed, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.err = err
	c.edits++
}

// differences says where the kernel is not as the store will have it with the next
// boot.
func (c *Control) differences() (all []string) {
	if c.keeper == nil {
		return nil
	}
	c.mu.Lock()
	active, mode := c.active, c.mode
	policies := make(map[string]*deployed, len(c.policies))
	for name, d := range c.policies {
		policies[name] = d
	}
	c.mu.Unlock()
	if want := c.bootMode.at(c.keptMode()); want != mode {
		all = append(all, fmt.Sprintf("%s: others changed it to %s; %s returns with the next start of iped", problemMode, modeWord(mode), modeWord(want)))
	}
	name, ok := c.store.Active()
	if d := policies[name]; ok && (active == nil || active.name != name) && (d == nil || d.err == nil) {
		all = append(all, fmt.Sprintf("active policy: the kernel decides by %s; %q returns with the next start of iped unless %s keeps another", nameOf(active), name, hint.PolicyActivate))
	}
	for _, it := range c.store.List() {
		switch d := policies[it.Name]; {
		case d == nil:
			all = append(all, problemOf(it.Name)+": others deleted it from the kernel; it returns with the next start of iped")
		case d.err == nil && d.id != it.SHA256:
			all = append(all, fmt.Sprintf("%s: others updated it to %s; the next boot has %s unless %s keeps it", problemOf(it.Name), d.policy.Version, it.Version, hint.PolicyActivate))
		}
	}
	return all
}

func nameOf(d *deployed) string {
	if d == nil {
		return "none"
	}
	return fmt.Sprintf("%q", d.name)
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
