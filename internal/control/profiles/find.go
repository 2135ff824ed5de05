package profiles

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// errWhich: a profile was loaded, and nobody knows which.
var errWhich = errors.New("which profile was loaded is lost, so base=strict holds without exceptions; load it anew")

// find returns the stored profile, nil for none. Before the first load there is no
// directory, and a machine without profiles gets none.
func (p *Profiles) find() *loaded {
	if _, err := os.Lstat(p.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s, err := p.disk()
	if err != nil {
		return &loaded{err: fmt.Errorf("%w: %w", errWhich, err)}
	}
	if s.Lost() {
		return &loaded{err: fmt.Errorf("%w: %w", errWhich, errors.Join(s.Problems()...))}
	}
	name, ok := s.Active()
	if !ok {
		return nil
	}
	l := p.reopen(s, name)
	l.inForce = l.err == nil
	return l
}

// disk is the store, which is made if there is none.
func (p *Profiles) disk() (*store.Store, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store != nil {
		return p.store, nil
	}
	s, err := store.OpenOf("profile", p.cfg.Disk, p.dir)
	if err != nil {
		return nil, fmt.Errorf("profiles: %w", err)
	}
	p.store = s
	return s, nil
}

// reopen verifies a stored message. What no longer verifies is still described as far as it
// can be read: the store has compared it with the digest of what was verified once.
func (p *Profiles) reopen(s *store.Store, name string) *loaded {
	item, _ := s.Item(name)
	e, err := s.Get(name)
	var l *loaded
	if err == nil {
		l, err = p.verified(e.Envelope)
	}
	if err == nil && (l.name != name || l.version != item.Version) {
		err = fmt.Errorf("holds profile %s %s: %w", plain.Name(l.name), l.version, store.ErrCorrupt)
	}
	if err != nil {
		l = &loaded{name: name, version: item.Version, id: item.SHA256, envelope: e.Envelope, err: fmt.Errorf("%w: %w", api.ErrProfileUnverified, err)}
		l.describe()
	}
	l.at = s.Written(name)
	return l
}

// describe reads what was signed, whoever signed it.
func (l *loaded) describe() {
	e, err := sign.Inspect(l.envelope)
	if err != nil {
		return
	}
	if parsed, err := textOf(e.Content); err == nil && parsed.Name == l.name && parsed.Version == l.version {
		l.profile, l.text = parsed, bytes.Clone(e.Content)
	}
}
