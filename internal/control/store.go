package control

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Store keeps what must survive; *store.Store is one.
type Store interface {
	List() []store.Item
	Item(name string) (item store.Item, ok bool)
	Get(name string) (store.Entry, error)
	Put(e store.Entry) error
	Replace(e store.Entry) error
	Delete(name string) error
	SetActive(name string) error
	Active() (name string, ok bool)
	SetMode(m store.Mode) error
	Mode() store.Mode
	Floor(name string) (floor policy.Version, ok bool)
	// Problems are what an administrator should look at, Lost says that nobody knows
	// whether a policy is to be active.
	Problems() []error
	Lost() bool
}

func (d *deployed) entry() store.Entry {
	return store.Entry{Name: d.name, Version: d.policy.Version, Envelope: d.envelope}
}

// persistence is what is to survive this process, in a store that may fail.
type persistence struct {
	*register
	store    Store
	bootMode BootMode
	// keeper is the engine if that is a kernel that keeps policies itself, else nil: then one
	// may be active that the store has not, or has in another version.
	keeper engine.Keeper
	// unkept is what the store is to have and has not; nil if it has. It is guarded by mu.
	unkept *store.Mode
}

// persistUpdate stores d in the place of the one of its name. There is none if that
// is the boot policy, or if others loaded it into the kernel.
func (p *persistence) persistUpdate(d *deployed, decides bool) error {
	if _, ok := p.store.Item(d.name); ok {
		if err := p.store.Replace(d.entry()); err != nil || !decides || p.isStoredActive(d.name) {
			return err
		}
		return p.store.SetActive(d.name)
	}
	if err := p.store.Put(d.entry()); err != nil || !decides {
		return err
	}
	if err := p.store.SetActive(d.name); err != nil {
		return errors.Join(err, p.store.Delete(d.name))
	}
	return nil
}

// persistActive stores the choice of d. The boot policy is never stored, nor is
// its choice: the stored active policy, if there is one, returns with the next
// start.
func (p *persistence) persistActive(d *deployed) error {
	if d.boot {
		return nil
	}
	if p.keeper != nil {
		if err := p.keep(d); err != nil {
			return err
		}
	}
	return p.store.SetActive(d.name)
}

// keepActive stores that d, which is active already, is to be so: others may have
// made it active in the kernel.
func (p *persistence) keepActive(d *deployed) error {
	if p.keeper == nil || d.boot || p.isStoredActive(d.name) && p.kept(d) {
		return nil
	}
	if err := p.persistActive(d); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.problems, problemEngine) // it was about what was kept before
	return nil
}

func (p *persistence) isStoredActive(name string) bool {
	active, ok := p.store.Active()
	return ok && active == name
}

// checkFloor refuses a version below the floor before the engine sees it.
func (p *persistence) checkFloor(d *deployed) error {
	floor, ok := p.store.Floor(d.name)
	if !d.boot && ok && d.policy.Version.Compare(floor) < 0 {
		return &store.StaleError{Name: d.name, Have: floor, Got: d.policy.Version}
	}
	return nil
}

// kept reports whether the store has this very policy.
func (p *persistence) kept(d *deployed) bool {
	it, ok := p.store.Item(d.name)
	return ok && it.SHA256 == d.id
}

// keep stores the policy, in the place of another of its name if there is one.
func (p *persistence) keep(d *deployed) error {
	switch it, ok := p.store.Item(d.name); {
	case !ok:
		return p.store.Put(d.entry())
	case it.SHA256 == d.id:
		return nil
	}
	return p.store.Replace(d.entry())
}

// wantKept notes what the store is to have after a change.
func (p *persistence) wantKept(ch api.ModeChange) {
	stored := p.keptMode()
	next := p.bootMode.stored(stored, ch)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unkept = &next
}

// keptMode is what the store has, or would have if it had not failed.
func (p *persistence) keptMode() store.Mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unkept != nil {
		return *p.unkept
	}
	return p.store.Mode()
}

// keepMode stores the mode that is to be stored, if that is not done. The caller holds
// change.
func (p *persistence) keepMode() error {
	p.mu.Lock()
	next := p.unkept
	p.mu.Unlock()
	if next == nil {
		return nil
	}
	if *next != p.store.Mode() {
		if err := p.store.SetMode(*next); err != nil {
			return p.problem(problemKept, fmt.Errorf("%s is not kept for the next boot, nor for a restart of iped, which have %s; the next change tries again: %w",
				modeWord(fromStore(*next)), modeWord(fromStore(p.store.Mode())), err))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unkept = nil
	delete(p.problems, problemKept)
	return nil
}
