// Package bpf enforces a policy by BPF LSM programs. The kernel side decides
// alone: programs, maps and links are pinned in a BPF file system, so that
// enforcement neither needs nor notices the process that loaded them.
package bpf

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/ftrace"
	"github.com/ipe-linux/ipe/internal/engine/bpf/recall"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/policy"
)

// DefaultPinDir is where the engine lives unless told otherwise.
const DefaultPinDir = "/sys/fs/bpf/ipe"

// Options are the options of Open.
type Options struct {
	// PinDir is a directory on a BPF file system, DefaultPinDir if empty.
	PinDir string
	Log    *slog.Logger
	// KeepCaches leaves inodes in memory that nobody uses; the built-in fs-verity
	// signatures of those that came there before the engine stay unknown.
	KeepCaches bool
	// Profile counts from before the first program of this build is attached.
	Profile engine.Profile
}

// Engine is the BPF engine of this kernel. There is one per machine, and one process
// at a time holds it.
type Engine struct {
	pinned
	inner   *ebpf.MapSpec   // of a policy's tables
	lacks   map[string]bool // hooks that this kernel has not; whoever has asking may look
	adopted bool
	listens bool // since this start, for verified signatures
	events  *reader
	watch   *abi.EventWatch
	// pinWatch may be nil: then what is removed is noticed late.
	pinWatch *abi.PinWatch
	pending  *recalling // nil if there is nothing to recall
	// report and noVolumes say what this kernel provides; a module may change both.
	report    atomic.Pointer[abi.Report]
	noVolumes atomic.Bool
	// signedRoots is the number of root hashes for which the caller vouched.
	signedRoots atomic.Uint32

	survey recall.Survey

	walk   sync.Mutex // serialises changes of what the programs are told of this kernel
	unread string     // what of it was logged as not understood

	mu     sync.Mutex     // serialises changes of the active tables
	active *engine.Active // what the tables were made from, as far as this process knows
}

var (
	_ engine.Engine     = (*Engine)(nil)
	_ engine.RootSigner = (*Engine)(nil)
	_ engine.Recaller   = (*Engine)(nil)
	_ engine.Profiler   = (*Engine)(nil)
	_ engine.Surveyor   = (*Engine)(nil)
)

// Open takes over the engine that runs, or starts one. Nothing is enforced until
// Activate. It fails with [abi.UnsupportedError] if this kernel, as it was
// booted, would never call the programs, and with ErrInUse while another process
// holds the engine.
func Open(o Options) (*Engine, error) {
	if o.PinDir == "" {
		o.PinDir = DefaultPinDir
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	defer releaseTypes()
	abi.MountSecurityfs()
	types := btf.NewCache() // for this start; what is read of it is tens of megabytes
	report := (&abi.System{Types: types.Kernel, Addresses: recall.Symbols}).Probe()
	if err := report.Usable(); err != nil {
		return nil, fmt.Errorf("open bpf engine: %w", err)
	}
	e := &Engine{lacks: map[string]bool{}, pinned: pinned{log: o.Log, maps: map[string]*ebpf.Map{}, links: links{all: map[string]link.Link{}}}}
	e.report.Store(&report)
	e.profile.Store(&o.Profile)
	if err := e.start(types, o); err != nil {
		e.Close()
		return nil, fmt.Errorf("open bpf engine: %w", err)
	}
	return e, nil
}

func (e *Engine) start(types *btf.Cache, o Options) error {
	var err error
	if e.dir, err = openPins(o.PinDir, buildName()); err != nil {
		return err
	}
	spec, err := loadIpe()
	if err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	e.inner = spec.Maps[mapActive].InnerMap.Copy()
	e.ftrace = ftrace.New(e.log, e.dir.root, checkOwner)
	if err := e.attach(spec, types); err != nil {
		return err
	}
	if err := e.takeReader(); err != nil {
		return err
	}
	if e.events, err = newReader(e.maps[mapEvents], e.log); err != nil {
		return err
	}
	e.refreshWalk(types)
	e.followTables(types)
	if err := e.countRoots(); err != nil {
		return fmt.Errorf("count signed root hashes: %w", err)
	}
	if e.listens {
		e.forgetRecall()
	}
	e.recalled.Store(e.hasRecalled())
	if !e.recalled.Load() {
		e.pending = &recalling{types: types, keepCaches: o.KeepCaches, done: make(chan struct{})}
	}
	if err := e.inherit(); err != nil {
		return err
	}
	e.ftrace.Finish(types)
	if e.watch, err = abi.WatchEvents(e.log, "drivers that are loaded later are not noticed, and their files have no facts", e.heard); err != nil {
		return err
	}
	if e.pinWatch, err = abi.KeepPins(keeper{&e.pinned}, e.log); err != nil {
		e.log.Warn("pins that are removed are noticed late", "error", err)
	}
	return nil
}

// Name returns "bpf".
func (*Engine) Name() string { return "bpf" }

// Close lets go of the engine. Everything stays pinned and enforcement goes on.
func (e *Engine) Close() error {
	e.pending.wait()
	var errs []error
	errs = append(errs, e.pinWatch.Close())
	if e.watch != nil {
		errs = append(errs, e.watch.Close())
	}
	if e.events != nil {
		errs = append(errs, e.events.close())
	}
	if e.ftrace != nil {
		errs = append(errs, e.ftrace.Close())
	}
	errs = append(errs, e.survey.Close())
	errs = append(errs, e.links.close())
	for _, m := range e.maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, e.dir.close())...)
}

// Unavailable is the set of properties that this kernel cannot provide.
func (e *Engine) Unavailable() policy.KeySet {
	s := unavailable(e.report.Load())
	if e.signedRoots.Load() > 0 && !s.Has(policy.DMVerityRoothash) {
		s &^= policy.Keys(policy.DMVeritySignature) // there are signatures, whatever the driver checks
	}
	if e.noVolumes.Load() {
		s |= policy.Keys(policy.DMVerityRoothash, policy.DMVeritySignature)
	}
	return s
}

// Capabilities lists the properties and the attached hooks.
func (e *Engine) Capabilities() []engine.Capability {
	var cs []engine.Capability
	for _, f := range e.report.Load().Features {
		if f.Kind == abi.Property {
			cs = append(cs, engine.Capability{Name: f.Name, Available: f.State == abi.Yes, Detail: f.Detail})
		}
	}
	for _, h := range hooks() {
		attached := e.links.get(h.name) != nil
		if h.remembers != "" && (!attached || h.name == freeInode || h.name == destroyDevice) {
			continue // the property that it serves says it all
		}
		detail := h.purpose
		if !attached {
			detail = "this kernel has no such hook: " + h.purpose
		}
		cs = append(cs, engine.Capability{Name: h.name, Available: attached, Detail: detail})
	}
	return cs
}

// unavailable reads from the probes which properties are false in both forms. What
// a missing dm_verity module cannot provide is merely absent: without the module
// there is no volume, and if it comes later its facts are found then.
func unavailable(r *abi.Report) policy.KeySet {
	var s policy.KeySet
	missing := func(feature string) bool {
		f, _ := r.Feature(feature)
		return f.State == abi.No
	}
	if missing(abi.PropFSVerityDigest) {
		s |= policy.Keys(policy.FSVerityDigest)
	}
	if missing(abi.PropFSVeritySigned) {
		s |= policy.Keys(policy.FSVeritySignature)
	}
	if missing(abi.DMVerity) {
		return s
	}
	if missing(abi.PropDMVerityHash) {
		s |= policy.Keys(policy.DMVerityRoothash)
	}
	if missing(abi.PropDMVeritySigned) {
		s |= policy.Keys(policy.DMVeritySignature)
	}
	return s
}

// releaseTypes gives back the memory of the kernel's BTF, tens of megabytes that
// nothing needs later.
func releaseTypes() { debug.FreeOSMemory() }
