package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// SetSignedRoots makes dmverity_signature true of volumes with one of these root
// hashes, too, and of no others that were so before. The kernel keeps them when this
// process ends. What is in both the old set and the new one is so all the time.
func (e *Engine) SetSignedRoots(roots []digest.Digest) error {
	if err := e.setSignedRoots(roots); err != nil {
		return fmt.Errorf("set signed root hashes: %w", err)
	}
	return nil
}

func (e *Engine) setSignedRoots(roots []digest.Digest) error {
	wanted := map[ruletab.Key]bool{}
	for _, d := range roots {
		if ruletab.Fits(d) { // no kernel has another
			wanted[ruletab.RootKey(d)] = true
		}
	}
	m := e.maps[mapRoots]
	have, err := rootKeys(m)
	if err != nil {
		return err
	}
	for _, k := range have {
		if wanted[k] {
			continue
		}
		if err := m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	for k := range wanted {
		if err := m.Put(&k, uint8(1)); err != nil {
			return err
		}
	}
	if err := e.countRoots(); err != nil {
		return err
	}
	return e.relower()
}

// rootKeys lists what the kernel holds. Nobody else changes it meanwhile.
func rootKeys(m *ebpf.Map) (keys []ruletab.Key, err error) {
	var k ruletab.Key
	var present uint8
	for it := m.Iterate(); ; {
		if !it.Next(&k, &present) {
			return keys, it.Err()
		}
		keys = append(keys, k)
	}
}

// countRoots tells the programs how many there are: none cost nothing. The other
// members are written as they are, so no reader sees anything else of them.
func (e *Engine) countRoots() error {
	keys, err := rootKeys(e.maps[mapRoots])
	if err != nil {
		return err
	}
	e.walk.Lock()
	defer e.walk.Unlock()
	var w offsets.Walk
	if err := e.maps[mapWalk].Lookup(slot, &w); err != nil {
		return err
	}
	w.SignedRoots = uint32(len(keys))
	if err := e.maps[mapWalk].Put(slot, &w); err != nil {
		return err
	}
	e.signedRoots.Store(w.SignedRoots)
	return nil
}
