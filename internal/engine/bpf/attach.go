package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/kernelabi"
)

// The maps, by their names in bpf/maps.h.
const (
	mapActive  = "ipe_active"
	mapControl = "ipe_control"
	mapWalk    = "ipe_walk"
	mapEvents  = "ipe_events"
	mapLost    = "ipe_lost"
)

// hook is one program and the LSM hook that it goes to.
type hook struct {
	name    string // LSM hook
	program string
	purpose string
	// optional hooks appeared after 6.1; a kernel without one lacks a property.
	optional bool
}

// hooks lists what is attached. Trackers of facts come before those who judge.
func hooks() []hook {
	return []hook{
		{"inode_setintegrity", "ipe_inode_setintegrity", "learns of verified fs-verity signatures", true},
		{"bprm_check_security", "ipe_bprm_check", "decides execution", false},
		{"mmap_file", "ipe_mmap_file", "decides executable mappings", false},
		{"file_mprotect", "ipe_file_mprotect", "decides mappings made executable", false},
	}
}

// prepareBPFFS makes sure that root lies on a BPF file system, and mounts one at
// its usual place if the machine has none there yet.
func prepareBPFFS(root string) error {
	const usual = "/sys/fs/bpf"
	parent := filepath.Dir(root)
	if isBPFFS(parent) {
		return nil
	}
	if parent != usual {
		return fmt.Errorf("pin directory %s: %s is not on a BPF file system: mount -t bpf bpf %s", root, parent, parent)
	}
	if err := unix.Mount("bpf", usual, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount BPF file system at %s: %w", usual, err)
	}
	return nil
}

// mountSecurityfs makes the list of active security modules readable. Failing is
// no error here: the probe that reads the list says what is missing.
func mountSecurityfs() {
	const dir = "/sys/kernel/security"
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil && st.Type != unix.SECURITYFS_MAGIC {
		_ = unix.Mount("securityfs", dir, "securityfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
}

// usable refuses a kernel that lacks something, and one that does not let itself
// be asked whether it will call the programs at all.
func usable(r kernelabi.Report) error {
	if err := r.Err(); err != nil {
		return err
	}
	if f, ok := r.Feature(kernelabi.LSMList); ok && f.State == kernelabi.Unknown {
		return &kernelabi.UnsupportedError{Feature: f.Name, Min: f.Min, Detail: f.Detail, Fix: f.Fix}
	}
	return nil
}

func isBPFFS(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// attach adopts every pinned map and link, and makes those that are missing. A
// process that was killed half-way through leaves what the next one completes.
func (e *Engine) attach(spec *ebpf.CollectionSpec, types *btf.Cache) error {
	missing, err := e.adoptLinks()
	if err != nil {
		return err
	}
	wanted, err := supported(missing, types)
	if err != nil {
		return err
	}
	e.adopted = len(wanted) == 0
	for name := range spec.Programs {
		if !wanted[name] {
			delete(spec.Programs, name)
		}
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinByName
	}
	return e.load(spec, missing, types)
}

// adoptLinks opens the pinned links and returns the hooks that have none.
func (e *Engine) adoptLinks() (missing []hook, err error) {
	for _, h := range hooks() {
		l, err := link.LoadPinnedLink(e.linkPath(h), nil)
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, h)
		case err != nil:
			return nil, fmt.Errorf("adopt link %s: %w", h.name, err)
		default:
			e.links[h.name] = l
		}
	}
	return missing, nil
}

func (e *Engine) linkPath(h hook) string { return filepath.Join(e.dir, "link_"+h.name) }

// supported returns the programs of hs that this kernel has a hook for.
func supported(hs []hook, cache *btf.Cache) (map[string]bool, error) {
	programs := map[string]bool{}
	if len(hs) == 0 {
		return programs, nil
	}
	types, err := cache.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read kernel BTF: %w", err)
	}
	for _, h := range hs {
		var fn *btf.Func
		switch err := types.TypeByName("bpf_lsm_"+h.name, &fn); {
		case err == nil:
			programs[h.program] = true
		case !errors.Is(err, btf.ErrNotFound):
			return nil, fmt.Errorf("look for hook %s: %w", h.name, err)
		case !h.optional:
			return nil, fmt.Errorf("hook %s: %w", h.name, err)
		}
	}
	return programs, nil
}

// load opens or makes the maps, loads the programs left in spec and attaches them.
func (e *Engine) load(spec *ebpf.CollectionSpec, missing []hook, cache *btf.Cache) error {
	opts := ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: e.dir}}
	if len(spec.Programs) > 0 {
		types, err := cache.Kernel()
		if err != nil {
			return fmt.Errorf("read kernel BTF: %w", err)
		}
		// Only the kernel's own types: one broken module would fail every load.
		opts.Programs.KernelTypes = types
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, opts)
	if err != nil {
		return fmt.Errorf("load BPF object: %w", explain(err))
	}
	defer coll.Close()
	for name := range coll.Maps {
		e.maps[name] = coll.DetachMap(name)
	}
	for _, h := range missing {
		if p := coll.Programs[h.program]; p != nil {
			if err := e.attachHook(h, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) attachHook(h hook, p *ebpf.Program) error {
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach %s: %w", h.name, err)
	}
	e.links[h.name] = l
	if err := l.Pin(e.linkPath(h)); err != nil {
		return fmt.Errorf("pin %s: %w", h.name, err)
	}
	return nil
}

// explain turns a verifier's refusal into an error that keeps its whole log.
func explain(err error) error {
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		return &engine.VerifierError{Err: err, Log: ve.Log}
	}
	return err
}

// removeOtherBuilds detaches what other builds of the engine left attached. It is
// called once this build enforces a policy, so there is no gap.
func (e *Engine) removeOtherBuilds() error {
	dirs, err := os.ReadDir(e.root)
	if err != nil {
		return fmt.Errorf("look for other builds: %w", err)
	}
	for _, d := range dirs {
		if path := filepath.Join(e.root, d.Name()); path != e.dir {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove other build: %w", err)
			}
			e.log.Info("replaced another build of the engine", "pins", path)
		}
	}
	return nil
}

// attachedHooks lists the hooks whose pins are there now.
func (e *Engine) attachedHooks() []string {
	var names []string
	for _, h := range hooks() {
		if _, err := os.Lstat(e.linkPath(h)); err == nil && e.links[h.name] != nil {
			names = append(names, h.name)
		}
	}
	sort.Strings(names)
	return names
}
