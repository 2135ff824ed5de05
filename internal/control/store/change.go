package store

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Put adds a policy, inactive. Errors: ErrExists, a *StaleError for a version
// below the name's floor, ErrName, ErrLimit.
func (s *Store) Put(e Entry) error {
	return s.do("put", e.Name, func(x *index) error {
		if _, ok := x.policies[e.Name]; ok {
			return ErrExists
		}
		if len(x.policies) >= MaxPolicies {
			return fmt.Errorf("%d policies are stored: %w", MaxPolicies, ErrLimit)
		}
		return x.place(e)
	}, e.Envelope)
}

// Replace puts an envelope in the place of the stored one of the same name. If
// that is active, the new one is active from the same moment and the floor
// rises to its version. Errors: ErrNotFound, a *StaleError for a version below
// the floor, ErrLimit. Whether an update must be newer than an inactive policy
// is for the caller to say.
func (s *Store) Replace(e Entry) error {
	return s.do("replace", e.Name, func(x *index) error {
		if _, ok := x.policies[e.Name]; !ok {
			return ErrNotFound
		}
		return x.place(e)
	}, e.Envelope)
}

// place enters a policy; if it is active, its floor follows.
func (x *index) place(e Entry) error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	if len(e.Envelope) == 0 || len(e.Envelope) > MaxEnvelope {
		return fmt.Errorf("envelope of %d bytes, not 1 to %d: %w", len(e.Envelope), MaxEnvelope, ErrLimit)
	}
	if err := x.checkFloor(e.Name, e.Version); err != nil {
		return err
	}
	x.policies[e.Name] = record{version: e.Version, sum: sha256.Sum256(e.Envelope)}
	if x.active != e.Name {
		return nil
	}
	return x.raise(e.Name, e.Version)
}

// Delete removes a policy; its floor stays. Errors: ErrNotFound, ErrActive.
func (s *Store) Delete(name string) error {
	return s.do("delete", name, func(x *index) error {
		if _, ok := x.policies[name]; !ok {
			return ErrNotFound
		}
		if x.active == name {
			return ErrActive
		}
		delete(x.policies, name)
		return nil
	}, nil)
}

// SetActive makes a stored policy the active one and raises its floor to its
// version. Errors: ErrNotFound, a *StaleError, ErrLimit.
func (s *Store) SetActive(name string) error {
	return s.do("activate", name, func(x *index) error {
		r, ok := x.policies[name]
		if !ok {
			return ErrNotFound
		}
		if err := x.checkFloor(name, r.version); err != nil {
			return err
		}
		x.active = name
		return x.raise(name, r.version)
	}, nil)
}

// SetMode changes the mode. What identifies a boot is printable ASCII without blanks,
// of 64 bytes at most.
func (s *Store) SetMode(m Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, boot := range []string{m.EnforceSince, m.SuccessAuditSince} {
		if boot != "" && !isBoot(boot) {
			return fmt.Errorf("set mode: boot %.80q: %w", boot, errLine)
		}
	}
	next := s.index.clone()
	next.mode = m
	if err := s.commit(next); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

// do applies change to a copy of the index, writes envelope, if there is one,
// and then commits. The policy called name is the only one that may change.
func (s *Store) do(verb, name string, change func(*index) error, envelope []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, next := s.index.policies[name], s.index.clone()
	err := change(&next)
	if err == nil {
		err = s.write(next, name, envelope)
	}
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", verb, s.noun, plain.Name(name), err)
	}
	s.discard(before)
	return nil
}

func (s *Store) write(next index, name string, envelope []byte) error {
	if s.failed != nil {
		return s.failed
	}
	added := next.policies[name]
	if envelope != nil {
		if err := atomicfile.Write(s.fsys, s.dir.envelope(added.sum), envelope, filePerm); err != nil {
			return err
		}
	}
	err := s.commit(next)
	if err != nil && s.failed == nil {
		s.discard(added)
	}
	return err
}

// commit makes next the state, by replacing the index; the second copy follows. The
// disk may have it and yet report an error, or lose it later; from then on nothing may
// be built on either state.
func (s *Store) commit(next index) error {
	if s.failed != nil {
		return s.failed
	}
	next.seq = s.index.seq + 1
	err := atomicfile.Write(s.fsys, s.dir.index(), next.encode(), filePerm)
	if errors.Is(err, atomicfile.ErrUnsynced) {
		s.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		return s.failed
	}
	if err != nil {
		return err
	}
	s.index = next
	s.writeCopy()
	return nil
}

// discard removes the envelope of r, if r is one, unless a policy has it. What
// cannot be removed does no harm; the next Open names it.
func (s *Store) discard(r record) {
	if r != (record{}) && !s.index.refers(r.sum) {
		_ = s.fsys.Remove(s.dir.envelope(r.sum))
	}
}

// refers reports whether a policy has the envelope with the given digest.
func (x index) refers(sum [sha256.Size]byte) bool {
	for _, r := range x.policies {
		if r.sum == sum {
			return true
		}
	}
	return false
}
