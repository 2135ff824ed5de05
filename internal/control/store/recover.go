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
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// damagedSuffix ends the names of files that were damaged, and out of the way of a good
// one. They stay until somebody removes them.
const damagedSuffix = ".damaged"

// lostText is what the file says that remembers that the floors are lost.
const lostText = `The index of this directory and its second copy were damaged or missing. So nobody knows
which policy was active, in which mode, and below which versions policies are refused: policies
that had been replaced can be loaded again. ` + hint.Status + ` says so as long as this file is here.
Remove it when you have seen to it. In the directory of profiles, load the profile first: while
this file is here the strict base holds, and without it and a profile what the command line says.
`

// recovery is what Open found of the state: the index and its second copy.
type recovery struct {
	*Store
	first, second kept
}

// take finds out what the state is: that of the index, or of the second copy if it is
// newer or the index is no longer good. With neither, nothing is known to be active.
func (s *Store) take() {
	r := recovery{s, read(s.dir.index()), read(s.dir.copy())}
	newer := r.second.err == nil && (r.first.err != nil || r.second.index.seq > r.first.index.seq)
	switch {
	case newer:
		r.noteIndex()
		r.adopt(r.second.index)
	case r.first.err == nil:
		r.noteCopy()
		r.adopt(r.first.index)
	case r.first.missing() && r.second.missing() && !exists(s.dir.policies()):
		s.create()
	default:
		r.lose()
	}
	if exists(s.dir.lost()) {
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
func (r recovery) noteIndex() {
	err := r.first.err
	if err == nil {
		err = fmt.Errorf("%s: its second copy is newer, change %d, not %d: %w", indexName, r.second.index.seq, r.first.index.seq, ErrCorrupt)
	}
	r.note(fmt.Errorf("%w; the second copy counts, with what was active, the mode and the version floors as of change %d, perhaps not the last one", err, r.second.index.seq))
}

// noteCopy says what is wrong with a second copy that does not count. One that is
// older is what a crash leaves; none is what older programs leave.
func (r recovery) noteCopy() {
	switch {
	case r.second.worn:
		r.note(fmt.Errorf("second copy of the index: what it has of the active %s is not that: %w; it is made anew", r.noun, ErrCorrupt))
	case r.second.damaged(), r.second.missing() && r.first.index.seq > 0:
		r.note(fmt.Errorf("second copy of the index: %w; it is made anew", r.second.err))
	case r.second.err == nil && r.second.index.seq == r.first.index.seq && !bytes.Equal(r.second.index.encode(), r.first.index.encode()):
		r.note(fmt.Errorf("second copy of the index: differs from it: %w; it is made anew", ErrCorrupt))
	}
}

// adopt makes x the state and puts right what differs from it.
func (r recovery) adopt(x index) {
	r.index = x
	for _, k := range []kept{r.first, r.second} {
		if k.err == nil {
			r.index.raiseFloors(k.index.floors)
		}
	}
	r.index.seq = max(r.index.seq, 1) // older programs did not count
	if r.failed == nil {
		r.setAside(r.first)
		r.setAside(r.second)
		r.makePolicies()
	}
	r.rescueActive()
	if r.failed != nil {
		return
	}
	if b := r.index.encode(); !bytes.Equal(r.first.raw, b) {
		r.rewrite(r.dir.index(), b)
	}
	if b := r.index.encodeCopy(r.spare); !bytes.Equal(r.second.raw, b) {
		r.writeCopy()
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
	if exists(s.dir.policies()) {
		return
	}
	if len(s.index.policies) > 0 {
		s.note(corrupt(s.dir.policies(), "directory is missing"))
	}
	err := atomicfile.Mkdir(s.fsys, s.dir.policies(), dirPerm)
	if errors.Is(err, atomicfile.ErrUnsynced) {
		s.fail(err)
	} else if err != nil {
		s.note(err)
	}
}

// rescueActive takes the envelope of the active policy from a copy of the state if its
// file is no longer good.
func (r recovery) rescueActive() {
	active, ok := r.index.policies[r.index.active]
	if !ok {
		return
	}
	path := r.dir.envelope(active.sum)
	b, err := readEnvelope(path, active.sum)
	if err == nil {
		r.spare = b
		return
	}
	for _, k := range []kept{r.first, r.second} {
		if k.envelope != nil && sha256.Sum256(k.envelope) == active.sum {
			r.spare = k.envelope
		}
	}
	if r.spare == nil {
		return // Get says what is wrong
	}
	r.note(fmt.Errorf("active %s %s: %w; what the second copy of the index has of it counts", r.noun, plain.Name(r.index.active), err))
	if r.failed != nil {
		return
	}
	if exists(path) {
		r.setAside(kept{path: path, err: err})
	}
	r.rewrite(path, r.spare)
}

// create makes a new store. The index is written before the directory of envelopes is
// made, so the latter without the former means that an index was lost.
func (s *Store) create() {
	if s.failed != nil {
		return
	}
	s.index.seq = 1
	if err := atomicfile.Write(s.fsys, s.dir.index(), s.index.encode(), filePerm); err != nil {
		s.fail(err)
		return
	}
	s.writeCopy()
	s.makePolicies()
}

// lose begins anew where nothing is known any more. Before it, it leaves a file that
// remembers that something was: without that, nothing is changed.
func (r recovery) lose() {
	r.lost = true
	r.note(fmt.Errorf("%w; second copy: %w: %w (%s)", r.first.err, r.second.err, errFloorsLost, repair))
	if errors.Is(r.first.err, ErrFormat) || errors.Is(r.second.err, ErrFormat) {
		r.fail(fmt.Errorf("%w (use the program that wrote it, or a newer one)", errors.Join(r.first.err, r.second.err)))
	}
	if r.failed == nil && !exists(r.dir.lost()) {
		if err := atomicfile.Write(r.fsys, r.dir.lost(), []byte(lostText), filePerm); err != nil {
			r.fail(err)
		}
	}
	if r.failed != nil {
		return
	}
	r.setAside(r.first)
	r.setAside(r.second)
	r.create()
}
