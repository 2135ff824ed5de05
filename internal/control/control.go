// Package control is the life cycle of policies on one machine: new, update,
// activate, delete, enforce and success_audit, with the order of checks and the
// errno of the kernel's own interface (security/ipe/fs.c, policy_fs.c), on top of
// a store, a verifier and an engine.
//
// It adds three things to what the kernel does. Signed policies, the choice of
// the active one and the mode survive reboots. So does the lowest acceptable
// version of each name, which makes going back to an older policy ESTALE where
// the kernel has forgotten. And whatever says "enforcing" has seen a denial: see
// [Status].
//
// # Order of enforcing and persisting
//
// A change goes to the engine first and to the store once the kernel has taken
// it, and is acknowledged after both. The other order could store an update that
// the kernel then refuses: its floor would rule out the way back, and the next
// boot would have nothing to enforce. If the store fails, the engine goes back to
// what it did before; but not from a mode, which is the brake (see
// [Actor.ChangeMode]).
//
// If the daemon is killed between the two, nothing was acknowledged, and the next
// [Control.Start] finds an engine that is ahead of the store. An activation is
// then finished, since the policy is stored; an update is as if it had not been
// asked for. Either way engine and store agree, and whatever was acknowledged has
// raised its floor.
package control

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control/trail"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// Config is what a Control works with.
type Config struct {
	Store    Store
	Verifier Verifier
	Engine   engine.Engine
	// EngineReason says why it is this engine.
	EngineReason string
	// Log receives one line a change or problem; nil discards them.
	Log *slog.Logger
	// Sinks receive every decision, and every record of the kernel's IPE.
	Sinks []trail.Sink
	// Boot is the text of the unsigned policy that is active from Start on while
	// the store has none that is; nil for none.
	Boot []byte
	// BootErr says why there is no boot policy though one was to be; nil if that is not so.
	BootErr error
	// Mode is what the kernel was booted with; it overrules the stored mode.
	Mode BootMode
	// Preflight looks before a policy begins to deny; nil if nobody can.
	Preflight Preflight
	// Problems are what the caller found wrong and could do without; Status shows
	// them.
	Problems []error
}

// Control is the state machine. Its methods may be called concurrently; those
// that change something run one after the other.
type Control struct {
	*register
	*persistence
	*resident
	*prover
	eng      engine.Engine
	verifier Verifier
	why      string
	boot     []byte
	// bootPolicy is boot parsed, nil if there is none or it is invalid.
	bootPolicy *deployed
	// bootErr says why there is none though one was to be.
	bootErr   error
	preflight Preflight
	trail     *trail.Trail
}

// deployed is a policy as the daemon knows it.
type deployed struct {
	name string
	// policy is nil if err is not.
	policy   *policy.Policy
	envelope []byte
	id       [32]byte
	signers  []string
	// version is what the kernel says of a policy that cannot be parsed, text what was
	// not taken out of a message.
	version string
	text    []byte
	// held: this came from the kernel; place is what it has there.
	held  bool
	place uint64
	// boot marks the unsigned policy given at start. It has no envelope.
	boot bool
	// err says why a stored policy is not usable any longer.
	err error
}

func (d *deployed) toEngine() engine.Active {
	return engine.Active{Policy: d.policy, ID: d.id, Envelope: d.envelope}
}

// New returns a Control that has not looked at store or engine yet; see Start.
func New(cfg Config) *Control {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	known := newRegister(teller{log})
	disk := &persistence{register: known, store: cfg.Store, bootMode: cfg.Mode}
	c := &Control{
		register: known, persistence: disk,
		resident: &resident{persistence: disk, eng: cfg.Engine, verifier: cfg.Verifier},
		prover:   &prover{register: known, eng: cfg.Engine, proving: make(chan struct{}, 1)},
		eng:      cfg.Engine, verifier: cfg.Verifier, why: cfg.EngineReason,
		boot: cfg.Boot, bootErr: cfg.BootErr, preflight: cfg.Preflight, trail: trail.New(cfg.Sinks),
	}
	disk.keeper, _ = cfg.Engine.(engine.Keeper)
	if cfg.BootErr != nil {
		_ = c.problem(problemBoot, cfg.BootErr) // Guarded says it again
	}
	for i, err := range cfg.Problems {
		_ = c.problem(fmt.Sprintf("start %d", i+1), err) // it is the same error
	}
	return c
}

// Run passes the engine's decisions to the sinks and to Events until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	defer c.trail.Flush()
	err := c.eng.Events(ctx, c.trail.Decided)
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("read decisions: %w", err)
	}
	return nil
}

// bootID is the digest that records show for a policy without a message.
var bootID = sha256.Sum256(nil)

// open verifies and parses a message.
func (c *Control) open(envelope []byte) (*deployed, error) {
	v, err := c.verifier.Verify(envelope)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(v.Content)
	if err != nil {
		return nil, fmt.Errorf("parse policy: %w", err)
	}
	return &deployed{name: p.Name, policy: p, envelope: envelope, id: v.SHA256, signers: v.By}, nil
}
