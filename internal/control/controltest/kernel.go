package controltest

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// Kernel is an engine.Keeper in memory, with the rules of a kernel that has IPE
// itself. It trusts everybody.
type Kernel struct {
	*Engine

	mu   sync.Mutex
	held map[string]*engine.Held
	last uint64
	// Refuse is what policies are refused with; nil for none.
	Refuse error
	// AfterHeld is called once between the reading of the policies and their return.
	AfterHeld func()
}

var _ engine.Keeper = (*Kernel)(nil)

// NewKernel returns a kernel with a compiled-in policy, or none if the text is empty.
func NewKernel(boot string) *Kernel {
	k := &Kernel{Engine: NewEngine(), held: map[string]*engine.Held{}}
	k.state.Mode.Enforce = true
	if p, err := policy.Parse([]byte(boot)); err == nil {
		k.admit(p, nil, []byte(boot))
		k.turn(p.Name)
	}
	return k
}

// SetProfile has not the form of Engine's, so that Kernel is no engine.Profiler: the kernel
// has no profiles.
func (*Kernel) SetProfile() {}

func (k *Kernel) admit(p *policy.Policy, envelope, text []byte) {
	k.last++
	k.held[p.Name] = &engine.Held{Name: p.Name, Version: p.Version.String(), Envelope: envelope, Text: text, Place: k.last}
}

// turn makes the policy active.
func (k *Kernel) turn(name string) {
	for _, h := range k.held {
		h.Active = h.Name == name
	}
	h := k.held[name]
	p, err := policy.Parse(h.Text)
	if err != nil {
		return // it was parsed before
	}
	if err := k.Engine.Activate(engine.Active{Policy: p, ID: sha256.Sum256(h.Envelope), Envelope: h.Envelope}); err != nil {
		return // nothing here makes it fail
	}
}

func (k *Kernel) open(envelope []byte) (*policy.Policy, []byte, error) {
	if k.Refuse != nil {
		return nil, nil, k.Refuse
	}
	e, err := sign.Inspect(envelope)
	if err != nil {
		return nil, nil, unix.EBADMSG
	}
	p, err := policy.Parse(e.Content)
	if err != nil {
		return nil, nil, unix.EBADMSG
	}
	return p, e.Content, nil
}

// Load implements engine.Keeper.
func (k *Kernel) Load(envelope []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, text, err := k.open(envelope)
	if err != nil {
		return err
	}
	if k.held[p.Name] != nil {
		return unix.EEXIST
	}
	k.admit(p, envelope, text)
	return nil
}

// Update implements engine.Keeper.
func (k *Kernel) Update(name string, envelope []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.update(name, envelope)
}

func (k *Kernel) update(name string, envelope []byte) error {
	p, text, err := k.open(envelope)
	if err != nil {
		return err
	}
	old := k.held[name]
	switch {
	case old == nil:
		k.admit(p, envelope, text)
		return nil
	case p.Name != name:
		return unix.EINVAL
	case k.version(name).Compare(p.Version) >= 0:
		return unix.ESTALE
	}
	old.Version, old.Envelope, old.Text = p.Version.String(), envelope, text
	if old.Active {
		k.turn(name)
	}
	return nil
}

func (k *Kernel) version(name string) policy.Version {
	p, err := policy.Parse(k.held[name].Text)
	if err != nil {
		return policy.Version{} // it was parsed before
	}
	return p.Version
}

// Delete implements engine.Keeper.
func (k *Kernel) Delete(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch h := k.held[name]; {
	case h == nil:
		return unix.ENOENT
	case h.Active:
		return unix.EPERM
	}
	delete(k.held, name)
	return nil
}

// Held implements engine.Keeper.
func (k *Kernel) Held() ([]engine.Held, error) {
	defer k.overtake()
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []engine.Held
	for _, h := range slices.SortedFunc(maps.Values(k.held), func(a, b *engine.Held) int { return strings.Compare(a.Name, b.Name) }) {
		all = append(all, *h)
	}
	return all, nil
}

func (k *Kernel) overtake() {
	if fn := k.AfterHeld; fn != nil {
		k.AfterHeld = nil
		fn()
	}
}

// SelfTest is a fresh one each time.
func (k *Kernel) SelfTest(a engine.Active) (engine.SelfTest, error) {
	st, err := k.Engine.SelfTest(a)
	st.Time = time.Now()
	return st, err
}

// Activate implements engine.Engine.
func (k *Kernel) Activate(a engine.Active) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[a.Policy.Name]; h == nil || sha256.Sum256(h.Envelope) != a.ID {
		if err := k.update(a.Policy.Name, a.Envelope); err != nil {
			return err
		}
	}
	return k.activate(a.Policy.Name)
}

func (k *Kernel) activate(name string) error {
	for _, h := range k.held {
		if h.Active && k.version(h.Name).Compare(k.version(name)) > 0 {
			return unix.EINVAL
		}
	}
	if !k.held[name].Active {
		k.turn(name)
	}
	return nil
}

// Poke activates a policy as others do.
func (k *Kernel) Poke(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.activate(name)
}

// Reboot forgets everything.
func (k *Kernel) Reboot() {
	fresh := NewKernel("")
	k.Engine, k.held = fresh.Engine, fresh.held
}
