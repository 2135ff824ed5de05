package bpf

import (
	"fmt"

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
	wanted := map[ruletab.Key]uint8{}
	for _, d := range roots {
		if ruletab.Fits(d) { // no kernel has another
			wanted[ruletab.RootKey(d)] = 1
		}
	}
	m := e.maps[mapRoots]
	if err := keepOnly(m, wanted); err != nil {
		return err
	}
	if err := putAll(m, wanted); err != nil {
		return err
	}
	if err := e.countRoots(); err != nil {
		return err
	}
	return e.relower()
}

// countRoots tells the programs how many there are: none cost nothing. The other
// members are written as they are, so no reader sees anything else of them.
func (e *Engine) countRoots() error {
	keys, err := keysOf[ruletab.Key, uint8](e.maps[mapRoots])
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
