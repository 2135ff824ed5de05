package bpf

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// slot is the one slot of the maps that have one.
const slot = uint32(0)

// maxBatch bounds the entries copied by one system call, and so the copy in memory.
const maxBatch = 4096

// Activate lowers the policy into a new map and swaps it for the active one by one
// pointer: every decision sees the one or the other whole. A policy that asks for
// fs-verity signatures waits for Recall, but not for long.
func (e *Engine) Activate(a engine.Active) error {
	if asksForSignatures(a.Policy) {
		e.recallFirst()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ftrace.SwitchOn()
	return e.activate(a)
}

func (e *Engine) activate(a engine.Active) error {
	meta, ok, err := e.meta()
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	if !ok {
		meta = ruletab.Meta{}
	}
	return e.replace(a, meta.Generation+1)
}

// replace puts new tables of a in the slot. Those of a policy that is lowered anew,
// for a kernel that provides something else now, keep their generation.
func (e *Engine) replace(a engine.Active, generation uint64) error {
	unavailable := e.Unavailable()
	tab, err := ruletab.Lower(a.Policy, unavailable)
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	m, err := e.newTable(tab, ruletab.Meta{ID: a.ID, Generation: generation, Unavailable: unavailable})
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	defer m.Close() // the slot holds it
	if err := e.maps[mapActive].Put(slot, m); err != nil {
		return fmt.Errorf("activate: switch tables: %w", err)
	}
	e.active = &a
	return nil
}

// newTable makes the map of one policy and freezes it: from then on nobody, not
// even root, can change it by system call.
func (e *Engine) newTable(tab *ruletab.Table, meta ruletab.Meta) (*ebpf.Map, error) {
	spec := e.inner.Copy()
	spec.Name = "ipe_table"
	spec.MaxEntries = uint32(len(tab.Entries) + 1)
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("make table of %d entries: %w", spec.MaxEntries, err)
	}
	if err := fill(m, tab, meta); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func fill(m *ebpf.Map, tab *ruletab.Table, meta ruletab.Meta) error {
	keys := make([]ruletab.Key, 0, min(len(tab.Entries), maxBatch))
	values := make([]ruletab.Entry, 0, cap(keys))
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		if _, err := m.BatchUpdate(keys, values, nil); err != nil {
			return fmt.Errorf("fill table: %w", err)
		}
		keys, values = keys[:0], values[:0]
		return nil
	}
	for k, v := range tab.Entries {
		v.Generation = meta.Generation
		keys, values = append(keys, k), append(values, v)
		if len(keys) == maxBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if err := m.Put(ruletab.MetaKey(), meta); err != nil {
		return fmt.Errorf("fill table: %w", err)
	}
	if err := m.Freeze(); err != nil {
		return fmt.Errorf("freeze table: %w", err)
	}
	return nil
}

// meta reads what the active table says of itself; ok is false without one.
func (e *Engine) meta() (meta ruletab.Meta, ok bool, err error) {
	m, err := activeTable(e.maps[mapActive])
	if err != nil || m == nil {
		return meta, false, err
	}
	defer m.Close()
	if err := m.Lookup(ruletab.MetaKey(), &meta); err != nil {
		return meta, false, fmt.Errorf("read active table: %w", err)
	}
	return meta, true, nil
}

// tableTries is how often a table may be replaced between being named and being
// opened, before that is an error.
const tableTries = 10

// activeTable opens the table in the slot; nil if the slot is empty.
func activeTable(active *ebpf.Map) (m *ebpf.Map, err error) {
	for range tableTries {
		var id ebpf.MapID
		err = active.Lookup(slot, &id)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, nil
		}
		if err != nil {
			break
		}
		if m, err = ebpf.NewMapFromID(id); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open active table: %w", err)
	}
	return m, nil
}

// SetMode changes enforce and success_audit for the next decision on.
func (e *Engine) SetMode(m engine.Mode) error {
	if err := e.maps[mapControl].Put(slot, &ipeControl{Enforce: number(m.Enforce), SuccessAudit: number(m.SuccessAudit)}); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

func number(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// State reads back what the kernel holds.
func (e *Engine) State() (engine.State, error) {
	s := engine.State{Adopted: e.adopted}
	if err := e.mendPins(); err != nil {
		s.Problems = append(s.Problems, "pins were removed, and enforcement ends with this process: "+err.Error())
	}
	e.ftrace.State(&s)
	roots, err := keysOf[ruletab.Key, uint8](e.maps[mapRoots])
	if err != nil {
		return s, fmt.Errorf("state: read signed root hashes: %w", err)
	}
	s.SignedRoots = len(roots)
	s.Hooks, s.Missing = e.attachedHooks()
	others, err := e.dir.otherBuilds()
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	s.OtherBuild = len(others) > 0
	meta, ok, err := e.meta()
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	s.HasPolicy, s.ID, s.Generation = ok, meta.ID, meta.Generation
	var c ipeControl
	if err := e.maps[mapControl].Lookup(slot, &c); err != nil {
		return s, fmt.Errorf("state: read mode: %w", err)
	}
	s.Mode = engine.Mode{Enforce: c.Enforce != 0, SuccessAudit: c.SuccessAudit != 0}
	if err := e.readProfile(&s); err != nil {
		return s, fmt.Errorf("state: read profile: %w", err)
	}
	if err := e.tellLeftOut(&s); err != nil {
		return s, fmt.Errorf("state: count calls that were left out: %w", err)
	}
	if err := e.readLosses(&s); err != nil {
		return s, fmt.Errorf("state: read lost records: %w", err)
	}
	return s, nil
}

// A Meta stands where an Entry stands.
var _ = [1]struct{}{}[unsafe.Sizeof(ruletab.Meta{})-unsafe.Sizeof(ruletab.Entry{})]
