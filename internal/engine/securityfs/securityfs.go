// Package securityfs enforces a policy by the kernel's own IPE, which it drives by
// the files of /sys/kernel/security/ipe. The kernel verifies, keeps and enforces
// policies; what it decided comes as audit records.
package securityfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/proof"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/policy"
)

// DefaultDir is where the kernel has its control tree.
const DefaultDir = "/sys/kernel/security/ipe"

// ErrInUse says that another process drives the engine.
var ErrInUse = errors.New("another process holds the engine")

// Options are the options of Open.
type Options struct {
	// Dir is the control tree, DefaultDir if empty.
	Dir string
	Log *slog.Logger
}

// Engine is the IPE of the running kernel. One process at a time drives it; others
// may write to the tree all the same, and are noticed.
type Engine struct {
	log      *slog.Logger
	tree     tree
	lock     *os.File // the tree's directory, locked
	features []abi.Feature
	adopted  bool
	records  *reader
	known    known

	// change serialises what this process writes.
	change sync.Mutex
}

var _ engine.Keeper = (*Engine)(nil)

// Open begins to listen for the kernel's records, then takes over what the kernel
// does. It changes nothing. It fails with [abi.UnsupportedError] if this kernel
// has no IPE, and with ErrInUse while another process holds the engine.
func Open(o Options) (*Engine, error) {
	if o.Dir == "" {
		abi.MountSecurityfs()
		o.Dir = DefaultDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{log: o.Log, tree: tree{o.Dir}, known: newKnown()}
	if err := e.start(); err != nil {
		e.Close()
		return nil, fmt.Errorf("open securityfs engine: %w", err)
	}
	return e, nil
}

func (e *Engine) start() error {
	if err := e.takeLock(); err != nil {
		return err
	}
	e.records = newReader(e)
	st, err := e.State()
	if err != nil {
		return err
	}
	e.adopted = st.HasPolicy
	e.features = abi.IPEProperties()
	e.records.start()
	return nil
}

// takeLock makes this the only process that drives the engine. The lock ends with
// the process, however it ends.
func (e *Engine) takeLock() error {
	f, err := os.Open(e.tree.dir)
	if errors.Is(err, os.ErrNotExist) {
		return &abi.UnsupportedError{Feature: abi.KernelIPE, Min: "6.12", Detail: e.tree.dir + " does not exist",
			Fix: "boot a kernel built with CONFIG_SECURITY_IPE=y and ipe in its lsm= list, or use " + hint.EngineBPF}
	}
	if err != nil {
		return fmt.Errorf("lock engine: %w", err)
	}
	e.lock = f
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return fmt.Errorf("lock engine %s: %w", e.tree.dir, err)
	}
	return nil
}

// Name returns "securityfs".
func (*Engine) Name() string { return "securityfs" }

// Close lets go of the engine. The kernel goes on as it is.
func (e *Engine) Close() error {
	var errs []error
	if e.records != nil {
		errs = append(errs, e.records.close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}

// Unavailable is the set of properties that the kernel's IPE was built without.
func (e *Engine) Unavailable() policy.KeySet {
	var s policy.KeySet
	for _, f := range e.features {
		for _, k := range policy.AllKeys() {
			if f.State == abi.No && f.Name == k.String() {
				s |= policy.Keys(k)
			}
		}
	}
	return s
}

// Capabilities lists the properties; the kernel's hooks are always all there.
func (e *Engine) Capabilities() []engine.Capability {
	var cs []engine.Capability
	for _, f := range e.features {
		cs = append(cs, engine.Capability{Name: f.Name, Available: f.State != abi.No, Detail: f.Detail})
	}
	return cs
}

// Events calls fn for each recorded decision until ctx ends. Of several callers one
// gets each record. A slow fn makes the queue overflow: records are lost and counted,
// verdicts are not affected.
func (e *Engine) Events(ctx context.Context, fn func(engine.Event)) error {
	for {
		select {
		case ev := <-e.records.queue:
			fn(ev)
		case <-ctx.Done():
			return ctx.Err()
		case <-e.records.stop:
			return errors.New("events: engine was closed")
		}
	}
}

// SelfTest tries each probe on the live kernel. The kernel's records of the denials
// prove that they are IPE's; with auditing off nothing can.
func (e *Engine) SelfTest(a engine.Active) (engine.SelfTest, error) {
	st, err := e.State()
	if err != nil {
		return engine.SelfTest{}, fmt.Errorf("self-test: %w", err)
	}
	return proof.Run(proof.Subject{
		Policy: a.Policy, Enforce: st.Mode.Enforce, Unavailable: e.Unavailable(), Watch: e.records.watch, Silent: st.Silent,
	})
}
