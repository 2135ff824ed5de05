// Package profiles is the life cycle of the profile on one machine: what is asked beyond
// the policy, and of which executables not. One profile is loaded or none. It is signed as
// policies are, by the same signers; its message, and the floor of each name, survive
// reboots as theirs do, in a store of their own.
//
// The base of a loaded profile takes the place of iped --profile, whichever is the weaker:
// it is signed, and the command line is not. The switches of iped --rule stay on top of it,
// for the whole machine.
//
// # Order of a load
//
// All that can refuse comes first: signature, text, version, and whether there is a state
// directory. The engine comes next, the store last, and the load is acknowledged after
// both. The other order could store a profile that the kernel then refuses: its floor
// would rule out the way back, and the next start would have nothing that the kernel
// takes. If the engine fails, nothing was stored; if the store fails, the engine is told
// again what it was told before.
//
// Who is killed between the two has acknowledged nothing. The next start has what is
// stored, so kernel and disk agree again.
//
// # What is lost
//
// A stored profile that cannot be read, or that nobody trusted vouches for any longer, is a
// problem that Status shows, and nothing is deleted. Its exceptions count no longer after
// a start, and the stricter of its base and of iped --profile holds. If nobody knows its
// base, strict does.
package profiles

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/policy"
)

// Config is what a machine has for its profile.
type Config struct {
	// State is the directory of the store of policies. That of profiles is below it.
	State string
	// Verify decides whose profiles are taken, as [control.Verifier] does.
	Verify func(message []byte) (control.Verified, error)
	Flags  Flags
	Log    *slog.Logger
	// Disk is where changes go; nil is the real one.
	Disk atomicfile.FS
}

// Flags are those of the command line.
type Flags struct {
	// Base holds while no profile is loaded.
	Base profile.Base
	// Rules are switches on top of each base, as RULE=SWITCH.
	Rules []string
}

// Asked is what holds while no profile is loaded.
func (f Flags) Asked() engine.Profile { return f.with(f.Base, nil) }

// Profiles is the life cycle. Its methods may be called concurrently, but for Attach,
// which comes before all others.
type Profiles struct {
	cfg Config
	log teller
	dir string
	// control serialises changes with those of policies.
	control *control.Control
	// eng is nil if the engine takes no profile.
	eng engine.Profiler

	mu sync.Mutex
	// store is nil until there is one.
	store *store.Store
	// loaded is nil for none.
	loaded *loaded
	// asked is what the engine was told last.
	asked engine.Profile
}

// loaded is a profile as the daemon knows it.
type loaded struct {
	name    string
	version policy.Version
	// profile is nil if the text cannot be read.
	profile *profile.Profile
	text    []byte
	// envelope is nil if it is lost; id is its digest.
	envelope []byte
	id       [sha256.Size]byte
	signers  []string
	at       time.Time
	// inForce: the engine was told all of it.
	inForce bool
	// err says why a stored profile is not usable any longer, or not kept.
	err error
}

func (l *loaded) entry() store.Entry {
	return store.Entry{Name: l.name, Version: l.version, Envelope: l.envelope}
}

// Open finds out which profile is to be in force. It stops no start: what is wrong becomes
// a problem, and the stricter side counts.
func Open(cfg Config) *Profiles {
	if cfg.Disk == nil {
		cfg.Disk = atomicfile.OS{}
	}
	p := &Profiles{cfg: cfg, log: teller{cfg.Log}, dir: filepath.Join(cfg.State, store.ProfilesName)}
	p.loaded = p.find()
	p.asked = p.asks(p.loaded)
	return p
}

// Asked is what an engine is to be opened with.
func (p *Profiles) Asked() engine.Profile {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Any reports whether a profile is loaded, or may have been.
func (p *Profiles) Any() bool { return p.now() != nil }

// Close lets go of the store.
func (p *Profiles) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.store == nil {
		return nil
	}
	return p.store.Close()
}

func (p *Profiles) now() *loaded {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded
}

// became notes what is in force from now on.
func (p *Profiles) became(l *loaded, asked engine.Profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded, p.asked = l, asked
}

// asks is what l asks, or the flags without it. One that cannot be used excepts nobody.
func (p *Profiles) asks(l *loaded) engine.Profile {
	switch {
	case l == nil:
		return p.cfg.Flags.Asked()
	case l.err == nil:
		return p.cfg.Flags.with(l.profile.Base, l.profile.Exceptions)
	case l.profile != nil:
		return p.cfg.Flags.with(max(p.cfg.Flags.Base, l.profile.Base), nil)
	}
	return p.cfg.Flags.with(profile.Strict, nil)
}

// with puts the switches of the command line on top of a base.
func (f Flags) with(base profile.Base, exceptions []profile.Exception) engine.Profile {
	var asked engine.Profile
	if base == profile.Strict {
		asked = engine.Strict()
	}
	for _, text := range f.Rules {
		_ = asked.Rules.Set(text) // the flags were read
	}
	asked.Exceptions = exceptions
	return asked
}

// verified takes a signed profile out of a message.
func (p *Profiles) verified(envelope []byte) (*loaded, error) {
	v, err := p.cfg.Verify(envelope)
	if err != nil {
		return nil, err
	}
	parsed, err := textOf(v.Content)
	if err != nil {
		return nil, err
	}
	return &loaded{name: parsed.Name, version: parsed.Version, profile: parsed, text: v.Content,
		envelope: envelope, id: v.SHA256, signers: v.By, at: time.Now()}, nil
}

// textOf is profile.Parse, and gives an error of the text a number, if it has none of its own.
func textOf(text []byte) (*profile.Profile, error) {
	parsed, err := profile.Parse(text)
	if err == nil {
		return parsed, nil
	}
	if _, known := errno.Known(err); known {
		return nil, fmt.Errorf("parse profile: %w", err)
	}
	return nil, fmt.Errorf("parse profile: %w: %w", api.ErrNotProfile, err)
}
