package control

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// Place is where a policy is from its loading to its deletion, as the directory
// that the kernel makes of it: an update changes what is there, and a policy that
// is loaded later has another place, also if it has the same name. What was found
// out about one thus never acts on the other.
//
// Methods that change something are those of [Actor] of the same name; all of
// them return api.ErrNotFound once the policy has been deleted.
type Place struct {
	c    *Control
	name string
	id   uint64
	who  audit.Subject
}

// By returns p for somebody who acts there.
func (p Place) By(who audit.Subject) Place {
	p.who = who
	return p
}

// Place returns the place of the policy of that name. Errors wrap api.ErrNotFound.
func (c *Control) Place(name string) (Place, error) {
	c.follow()
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.places[name]
	if !ok {
		return Place{}, fmt.Errorf("%s: %w", policyNamed(name), api.ErrNotFound)
	}
	return Place{c, name, id, audit.Nobody()}, nil
}

// Places returns those of all policies, sorted by name.
func (c *Control) Places() []Place {
	c.follow()
	c.mu.Lock()
	ids := maps.Clone(c.places)
	c.mu.Unlock()
	all := make([]Place, 0, len(ids))
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		all = append(all, Place{c, name, ids[name], audit.Nobody()})
	}
	return all
}

// Name is the policy's name.
func (p Place) Name() string { return p.name }

// ID is a number from 1 on that no other place of this process has or had.
func (p Place) ID() uint64 { return p.id }

// Info describes the policy that is there now.
func (p Place) Info() (api.Info, error) {
	p.c.follow()
	d, err := p.deployed()
	if err != nil {
		return api.Info{}, err
	}
	return p.c.infoOf(d), nil
}

// Get returns what [Control.Get] does.
func (p Place) Get() (info api.Info, envelope, text []byte, err error) {
	p.c.follow()
	d, err := p.deployed()
	if err != nil {
		return api.Info{}, nil, nil, err
	}
	return p.c.get(d)
}

// Update replaces the policy.
func (p Place) Update(envelope []byte) (info api.Info, err error) {
	p.c.Changing(func() {
		if _, err = p.deployed(); err != nil {
			p.request().recordLoad(nil, err)
			return
		}
		info, err = p.request().logUpdate(p.name, envelope)
	})
	return info, err
}

// Activate makes the policy the active one.
func (p Place) Activate() error {
	return p.change(func() error { return p.request().logActivate(p.name) })
}

// Delete forgets the policy; the place is gone with it.
func (p Place) Delete() error {
	return p.change(func() error { return p.request().logDelete(p.name) })
}

// request is one of whoever acts there. The kernel's interface knows no preflight.
func (p Place) request() request { return request{p.c, p.who, nil} }

// change calls fn, which changes something, if the place is still there.
func (p Place) change(fn func() error) (err error) {
	p.c.Changing(func() {
		p.c.follow()
		if _, err = p.deployed(); err == nil {
			err = fn()
		}
	})
	return err
}

func (p Place) deployed() (*deployed, error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.places[p.name] != p.id {
		return nil, fmt.Errorf("%s: %w", policyNamed(p.name), api.ErrNotFound)
	}
	return p.c.policies[p.name], nil
}
