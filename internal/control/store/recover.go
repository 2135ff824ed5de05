package store

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/policy"
)

// damagedSuffix ends the names of files that were damaged, and out of the way of a good
// one. They stay until somebody removes them.
const damagedSuffix = ".damaged"

// lostText is what the file says that remembers that the floors are lost.
const lostText = `The index of this directory and its second copy were damaged or missing. So nobody knows
which policy was active, in which mode, and below which versions policies are refused: policies
that had been replaced can be loaded again. ` + hint.Status + ` says so as long as this file is here.
Remove it when you have seen to it.
`

// take finds out what the state is: that of the index, or of the second copy if it is
// newer or the index is no longer good. With neither, nothing is known to be active.
func (s *Store) take() {
	first, second := read(s.indexPath()), read(s.copyPath())
	newer := second.err == nil && (first.err != nil || second.index.seq > first.index.seq)
	switch {
	case newer:
		s.noteIndex(first, second)
		s.adopt(second.index, first, second)
	case first.err == nil:
		s.noteCopy(first, second)
		s.adopt(first.index, first, second)
	case first.missing() && second.missing() && !exists(s.policiesPath()):
		s.create()
	default:
		s.lose(first, second)
	}
	if exists(s.lostPath()) {
		s.lost = true
		s.note(fmt.Errorf("%s: %w (remove the file when you have seen to it)", lostName, errFloorsLost))
	}
}

// exists reports whether there is something at path, or might be.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// noteIndex says why the second copy counts.
func (s *Store) noteIndex(first, second kept) {
	err := first.err
	if err == nil {
		err = fmt.Errorf("%s: its second copy is newer, change %d, not %d: %w", indexName, second.index.seq, first.index.seq, ErrCorrupt)
	}
	s.note(fmt.Errorf("%w; the second copy counts, with the active policy, the mode and the version floors as of change %d, perhaps not the last one", err, second.index.seq))
}

// noteCopy says what is wrong with a second copy that does not count. One that is
// older is what a crash leaves; none is what older programs leave.
func (s *Store) noteCopy(first, second kept) {
	switch {
	case second.worn:
		s.note(fmt.Errorf("second copy of the index: what it has of the active policy is not that: %w; it is made anew", ErrCorrupt))
	case second.damaged(), second.missing() && first.index.seq > 0:
		s.note(fmt.Errorf("second copy of the index: %w; it is made anew", second.err))
	case second.err == nil && second.index.seq == first.index.seq && !bytes.Equal(second.index.encode(), first.index.encode()):
		s.note(fmt.Errorf("second copy of the index: differs from it: %w; it is made anew", ErrCorrupt))
	}
}

// adopt makes x the state and puts right what differs from it.
func (s *Store) adopt(x index, first, second kept) {
	s.index = x
	for _, k := range []kept{first, second} {
		if k.err == nil {
			s.index.raiseFloors(k.index.floors)
		}
	}
	s.index.seq = max(s.index.seq, 1) // older programs did not count
	if s.failed == nil {
		s.setAside(first)
		s.setAside(second)
		s.makePolicies()
	}
	s.rescueActive(first, second)
	if s.failed != nil {
		return
	}
	if b := s.index.encode(); !bytes.Equal(first.raw, b) {
		s.rewrite(s.indexPath(), b)
	}
	if b := s.index.encodeCopy(s.spare); !bytes.Equal(second.raw, b) {
		s.writeCopy()
	}
}

// raiseFloors takes the higher floor of each name. A floor above the version of a stored
// policy is of another life of the directory: it would make the policy useless.
func (x *index) raiseFloors(floors map[string]policy.Version) {
	for name, floor := range floors {
		r, stored := x.policies[name]
		have, known := x.floors[name]
		if known && have.Compare(floor) >= 0 || stored && r.version.Compare(floor) < 0 || name == x.active {
			continue
		}
		if known || len(x.floors) < MaxFloors {
			x.floors[name] = floor
		}
	}
}

// rewrite puts something that is known already in its place.
func (s *Store) rewrite(path string, b []byte) {
	err := atomicfile.Write(s.fsys, path, b, filePerm)
	if errors.Is(err, atomicfile.ErrUnsynced) {
		s.fail(err)
	} else if err != nil {
		s.note(err)
	}
}

// setAside moves what is damaged out of the way of what is good. Nothing is deleted.
func (s *Store) setAside(k kept) {
	if !k.damaged() {
		return
	}
	to := k.path + "." + rand.Text()[:8] + damagedSuffix
	if err := s.fsys.Rename(k.path, to); err != nil {
		s.note(fmt.Errorf("set aside what is damaged: %w", err))
	}
}

// makePolicies makes the directory of envelopes if it is not there.
func (s *Store) makePolicies() {
	if exists(s.policiesPath()) {
		return
	}
	if len(s.index.policies) > 0 {
		s.note(corrupt(s.policiesPath(), "directory is missing"))
	}
	err := atomicfile.Mkdir(s.fsys, s.policiesPath(), dirPerm)
	if errors.Is(err, atomicfile.ErrUnsynced) {
		s.fail(err)
	} else if err != nil {
		s.note(err)
	}
}

// rescueActive takes the envelope of the active policy from a copy of the state if its
// file is no longer good.
func (s *Store) rescueActive(from ...kept) {
	r, ok := s.index.policies[s.index.active]
	if !ok {
		return
	}
	path := s.envelopePath(r.sum)
	b, err := readEnvelope(path, r.sum)
	if err == nil {
		s.spare = b
		return
	}
	for _, k := range from {
		if k.envelope != nil && sha256.Sum256(k.envelope) == r.sum {
			s.spare = k.envelope
		}
	}
	if s.spare == nil {
		return // Get says what is wrong
	}
	s.note(fmt.Errorf("active policy %q: %w; what the second copy of the index has of it counts", s.index.active, err))
	if s.failed != nil {
		return
	}
	if exists(path) {
		s.setAside(kept{path: path, err: err})
	}
	s.rewrite(path, s.spare)
}

// create makes a new store. The index is written before the directory of envelopes is
// made, so the latter without the former means that an index was lost.
func (s *Store) create() {
	if s.failed != nil {
		return
	}
	s.index.seq = 1
	if err := atomicfile.Write(s.fsys, s.indexPath(), s.index.encode(), filePerm); err != nil {
		s.fail(err)
		return
	}
	s.writeCopy()
	s.makePolicies()
}

// lose begins anew where nothing is known any more. Before it, it leaves a file that
// remembers that something was: without that, nothing is changed.
func (s *Store) lose(first, second kept) {
	s.lost = true
	s.note(fmt.Errorf("%w; second copy: %w: %w (%s)", first.err, second.err, errFloorsLost, repair))
	if errors.Is(first.err, ErrFormat) || errors.Is(second.err, ErrFormat) {
		s.fail(fmt.Errorf("%w (use the program that wrote it, or a newer one)", errors.Join(first.err, second.err)))
	}
	if s.failed == nil && !exists(s.lostPath()) {
		if err := atomicfile.Write(s.fsys, s.lostPath(), []byte(lostText), filePerm); err != nil {
			s.fail(err)
		}
	}
	if s.failed != nil {
		return
	}
	s.setAside(first)
	s.setAside(second)
	s.create()
}
