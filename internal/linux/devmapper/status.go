package devmapper

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// Status is what a verity device is and how it fares.
type Status struct {
	Device
	// Corrupted says that a block was wrong since the device was opened.
	Corrupted bool
	// Repaired counts how often error correction has restored a block since then, which
	// kernels tell from Linux 6.19 on; -1 if that is not known, or there is none.
	Repaired int64
	// Table is its live table. HashOffset is where the tree begins.
	Table dmverity.Table
}

// Look returns the state of a device. Errors wrap ErrInactive or ErrNotVerity.
func Look(name string) (Status, error) {
	s, err := look(name)
	if err != nil {
		return s, fmt.Errorf("status of volume %s: %w", plain.Name(name), err)
	}
	return s, nil
}

func look(name string) (Status, error) {
	mangled, err := Mangle(name)
	if err != nil {
		return Status{}, err
	}
	c, err := openControl()
	if err != nil {
		return Status{}, err
	}
	defer c.close()
	return c.look(mangled)
}

func (c *control) look(mangled string) (s Status, err error) {
	if s.Device, err = c.state(mangled); err != nil {
		return s, err
	}
	tables, err := c.targets(mangled, true)
	if err != nil {
		return s, err
	}
	if len(tables) != 1 || tables[0].kind != kind {
		return s, ErrNotVerity
	}
	if s.Table, err = dmverity.ParseParams(tables[0].text); err != nil {
		return s, err
	}
	states, err := c.targets(mangled, false)
	if err != nil {
		return s, err
	}
	if len(states) != 1 || states[0].kind != kind {
		return s, ErrNotVerity // it has become another one meanwhile
	}
	s.Corrupted, s.Repaired, err = parseState(states[0].text)
	return s, err
}

// List returns the verity devices, in the order of the kernel. Those that go away
// meanwhile are not in it. If a table cannot be read, the others are returned all the
// same, with an error.
func List() ([]Status, error) {
	c, err := openControl()
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	defer c.close()
	names, err := c.devices()
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var all []Status
	for _, n := range names {
		s, e := c.look(n.mangled)
		switch {
		case e == nil:
			all = append(all, s)
		case !errors.Is(e, ErrInactive) && !errors.Is(e, ErrNotVerity):
			err = errors.Join(err, fmt.Errorf("list volumes: %s: %w", n.mangled, e))
		}
	}
	return all, err
}
