// Package store keeps signed policies on disk: their envelopes as they came,
// which policy is active, the mode, and for each policy name the lowest version
// that is still acceptable, the floor, which a reboot does not forget.
//
// A store is a directory that one process at a time may hold open:
//
//	index               everything but the envelopes, with format number and checksum
//	copy                the same once more, and the envelope of the active policy
//	policies/HEX.p7b    an envelope under the SHA-256 of its bytes
//
// Only the replacement of the index commits a change, so a crash leaves the old state
// or the new one, whole. The second copy is replaced after it, and so is one change
// behind after a crash in between, or more if it could not be written, which Problems
// says. It guarantees that one damaged or missing file, whichever it is, costs neither
// the active policy, nor the mode, nor a floor. Of the two the one with more changes
// counts; floors are the higher ones of both.
//
// A file that is not as it should be stops nothing: the rest is used, and Problems says
// which file is at fault. Where both copies are lost nothing is active: what else is
// stored was not chosen by anybody. A file of the name floors-lost remembers that until
// somebody removes it. Open makes good what it can from the other copy, and deletes
// nothing but what a crash left half written: a damaged file gets a name that ends in
// .damaged, and foreign ones stay as they are.
//
// The store treats envelopes as opaque. Whoever takes one out verifies it again. So a store
// of profiles is another one, in a directory of this one's that this one leaves alone.
// A floor protects from those who can offer old policies, not from those who can
// write to the directory.
package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// Limits of a store. They bound what a hostile index can make a reader do, and
// are far above what machines have.
const (
	// MaxEnvelope is the greatest length of an envelope in bytes.
	MaxEnvelope = sign.MaxLen
	// MaxPolicies is the greatest number of policies held at one time.
	MaxPolicies = 256
	// MaxFloors is the greatest number of names that can ever have been active. No
	// floor is ever dropped to make room.
	MaxFloors = 4096
)

// Entry is a policy as the store takes it and gives it back.
type Entry struct {
	Name     string
	Version  policy.Version
	Envelope []byte
}

// Item describes a stored policy. SHA256 is the digest of the whole envelope.
type Item struct {
	Name    string
	Version policy.Version
	SHA256  [sha256.Size]byte
}

// Mode is how decisions take effect. A new store enforces and records denials only.
type Mode struct {
	Enforce      bool
	SuccessAudit bool
	// EnforceSince and SuccessAuditSince identify the boot of the machine in which
	// each was last chosen; empty if that is not known.
	EnforceSince, SuccessAuditSince string
}

// Store is an open store. Its methods may be called concurrently. A method that
// fails has changed nothing, except as said at ErrFailed.
type Store struct {
	fsys atomicfile.FS
	dir  directory
	noun string // what its messages call what it holds
	lock *os.File

	// found is what Open found wrong, lost that it found no state.
	found []error
	lost  bool

	mu     sync.Mutex
	index  index
	failed error
	// copyErr says why the second copy is old, spare is the active envelope.
	copyErr error
	spare   []byte
}

// Close gives up the lock. Methods that change the store fail afterwards.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.failed, os.ErrClosed) {
		return nil
	}
	s.failed = os.ErrClosed
	if err := s.unlock(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Problems says what an administrator should look at: what Open found wrong, a second
// copy that could not be written, and whether changes are refused.
func (s *Store) Problems() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.found)
	for _, err := range []error{s.copyErr, s.failed} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Lost reports whether it is not known if a policy is to be active: the state was lost,
// and none was activated since.
func (s *Store) Lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost && s.index.active == ""
}

// Get returns the named policy, or an error that wraps ErrNotFound, or
// ErrCorrupt if the envelope on disk is not what was put there.
func (s *Store) Get(name string) (Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.index.policies[name]
	if !ok {
		return Entry{}, fmt.Errorf("get %s %s: %w", s.noun, plain.Name(name), ErrNotFound)
	}
	envelope, err := readEnvelope(s.dir.envelope(r.sum), r.sum)
	if err != nil && s.spare != nil && sha256.Sum256(s.spare) == r.sum {
		envelope, err = slices.Clone(s.spare), nil
	}
	if err != nil {
		return Entry{}, fmt.Errorf("get %s %s: %w", s.noun, plain.Name(name), err)
	}
	return Entry{Name: name, Version: r.version, Envelope: envelope}, nil
}

// Item describes the named policy; ok is false if there is none.
func (s *Store) Item(name string) (item Item, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.index.policies[name]
	return Item{Name: name, Version: r.version, SHA256: r.sum}, ok
}

// Written says when the envelope of the named policy was put where it is; zero if that
// cannot be told.
func (s *Store) Written(name string) time.Time {
	item, _ := s.Item(name)
	info, err := os.Lstat(s.dir.envelope(item.SHA256))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// List describes the stored policies in the order of their names.
func (s *Store) List() []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := make([]Item, 0, len(s.index.policies))
	for name, r := range s.index.policies {
		items = append(items, Item{Name: name, Version: r.version, SHA256: r.sum})
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return items
}

// Active returns the name of the active policy; ok is false if there is none.
func (s *Store) Active() (name string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.active, s.index.active != ""
}

// Mode returns the mode.
func (s *Store) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.mode
}

// Floor returns the lowest acceptable version of the named policy; ok is false
// if it never was active, so that any version is acceptable.
func (s *Store) Floor(name string) (floor policy.Version, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	floor, ok = s.index.floors[name]
	return floor, ok
}

// Floors returns all floors by policy name, also those of deleted policies.
func (s *Store) Floors() map[string]policy.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.index.floors)
}
