package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// hook is one program and where it is attached.
type hook struct {
	name    string // LSM hook, or the function whose end is traced
	program string
	purpose string
	// traced is a function of the kernel, not a hook.
	traced bool
	// tracker remembers facts, and judges nothing.
	tracker bool
	// since names what a kernel must have for an optional hook.
	since func(*btf.Spec) bool
}

// What tells of verified fs-verity signatures: a hook since Linux 6.12, before that
// the end of a function; and what tells of inodes that are gone.
const (
	freeInode       = "inode_free_security"
	setIntegrity    = "inode_setintegrity"
	verifySignature = "fsverity_verify_signature"
)

// hooks lists what is attached. Trackers of facts come before those who judge, and
// what forgets before what learns.
func hooks() []hook {
	return []hook{
		{name: freeInode, program: "ipe_inode_free_security", purpose: "forgets inodes that are gone", tracker: true,
			since: func(k *btf.Spec) bool { return announces(k) || verifies(k) }},
		{name: setIntegrity, program: "ipe_inode_setintegrity", purpose: "learns of verified fs-verity signatures", tracker: true, since: announces},
		{name: verifySignature, program: "ipe_verify_signature", purpose: "learns of verified fs-verity signatures, where no hook tells", traced: true, tracker: true,
			since: func(k *btf.Spec) bool { return !announces(k) && verifies(k) }},
		{name: "bprm_creds_for_exec", program: "ipe_bprm_creds", purpose: "decides what a process asks about before it reads a script", since: offsets.AsksFirst},
		{name: "bprm_check_security", program: "ipe_bprm_check", purpose: "decides execution"},
		{name: "mmap_file", program: "ipe_mmap_file", purpose: "decides executable mappings"},
		{name: "file_mprotect", program: "ipe_file_mprotect", purpose: "decides mappings made executable"},
		{name: "kernel_read_file", program: "ipe_kernel_read_file", purpose: "decides files that the kernel reads for itself"},
		{name: "kernel_load_data", program: "ipe_kernel_load_data", purpose: "decides data that the kernel takes from a process"},
	}
}

func announces(kernel *btf.Spec) bool { return offsets.HasHook(kernel, setIntegrity) }

func verifies(kernel *btf.Spec) bool { return offsets.HasFunction(kernel, verifySignature) }

// attach adopts every pinned map and link, and makes those that are missing. A
// process that was killed half-way through leaves what the next one completes.
func (e *Engine) attach(spec *ebpf.CollectionSpec, types *btf.Cache, p engine.Profile) error {
	if err := e.openMaps(spec); err != nil {
		return errors.Join(abi.Explain(), err)
	}
	if err := e.putProfile(p); err != nil {
		return err
	}
	missing, err := e.adoptLinks()
	if err != nil {
		return err
	}
	var wanted []hook
	if len(missing) > 0 {
		kernel, err := types.Kernel()
		if err != nil {
			return fmt.Errorf("read kernel BTF: %w", err)
		}
		if wanted, err = supported(missing, kernel); err != nil {
			return err
		}
	}
	e.adopted = len(wanted) == 0
	e.listens = slices.ContainsFunc(wanted, func(h hook) bool { return h.tracker && h.name != freeInode })
	return e.load(spec, wanted, types)
}

// adoptLinks opens the pinned links and returns the hooks that have none. A link
// whose program uses other maps than ours, left by a removal that was cut off,
// counts as none.
func (e *Engine) adoptLinks() (missing []hook, err error) {
	for _, h := range hooks() {
		l, err := link.LoadPinnedLink(e.linkPath(h), nil)
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, h)
			continue
		case err != nil:
			return nil, fmt.Errorf("adopt link %s: %w", h.name, err)
		}
		ours, err := e.usesOurMaps(l, h)
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("adopt link %s: %w", h.name, err)
		}
		if !ours {
			e.log.Warn("replacing a program that does not belong to these maps", "hook", h.name)
			l.Close()
			missing = append(missing, h)
			continue
		}
		e.links[h.name] = l
	}
	return missing, nil
}

// usesOurMaps reports whether the link's program reads the maps that are pinned
// beside it. The tracker has only the one that all builds share.
func (e *Engine) usesOurMaps(l link.Link, h hook) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, err
	}
	p, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return false, err
	}
	defer p.Close()
	pinfo, err := p.Info()
	if err != nil {
		return false, err
	}
	used, ok := pinfo.MapIDs()
	if !ok {
		return false, errors.New("the kernel does not say which maps a program uses")
	}
	mapName := mapActive
	if h.tracker {
		mapName = mapSigned
	}
	minfo, err := e.maps[mapName].Info()
	if err != nil {
		return false, err
	}
	id, ok := minfo.ID()
	return ok && slices.Contains(used, id), nil
}

func (p *pinned) linkPath(h hook) string { return filepath.Join(p.dir, "link_"+h.name) }

// supported returns those of hs that a kernel with these types has. One without a hook
// that all supported kernels have is an error.
func supported(hs []hook, kernel *btf.Spec) ([]hook, error) {
	var found []hook
	for _, h := range hs {
		switch {
		case h.since != nil && !h.since(kernel):
			continue
		case !h.traced && !offsets.HasHook(kernel, h.name):
			return nil, fmt.Errorf("look for hook %s: %w", h.name, btf.ErrNotFound)
		}
		found = append(found, h)
	}
	return found, nil
}

// load loads the programs of the wanted hooks on our maps and attaches them.
func (e *Engine) load(spec *ebpf.CollectionSpec, wanted []hook, cache *btf.Cache) error {
	if len(wanted) == 0 {
		return nil
	}
	for name := range spec.Programs {
		if !slices.ContainsFunc(wanted, func(h hook) bool { return h.program == name }) {
			delete(spec.Programs, name)
		}
	}
	types, err := cache.Kernel()
	if err != nil {
		return fmt.Errorf("read kernel BTF: %w", err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: e.maps,
		Cache:           cache,
		// Only the kernel's own types: one broken module would fail every load.
		Programs: ebpf.ProgramOptions{KernelTypes: types},
	})
	if err != nil {
		return fmt.Errorf("load BPF object: %w", errors.Join(abi.Explain(), explain(err)))
	}
	defer coll.Close()
	for _, h := range wanted {
		if err := e.attachHook(h, coll.Programs[h.program]); err != nil {
			return err
		}
	}
	return nil
}

// attachHook attaches a program and puts its link in the place of a foreign one, if
// there is one; both enforce in between.
func (e *Engine) attachHook(h hook, p *ebpf.Program) error {
	l, err := attachProgram(h, p)
	if errors.Is(err, unix.ENODEV) {
		err = &abi.UnsupportedError{Feature: abi.Ftrace, Fix: "reboot",
			Detail: "the kernel has given ftrace up after a fault of its own, which its log tells: " + err.Error()}
	}
	if err != nil {
		return fmt.Errorf("attach %s: %w", h.name, err)
	}
	e.links[h.name] = l
	if err := os.Remove(e.linkPath(h)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace pin of %s: %w", h.name, err)
	}
	if err := l.Pin(e.linkPath(h)); err != nil {
		return fmt.Errorf("pin %s: %w", h.name, err)
	}
	return nil
}

func attachProgram(h hook, p *ebpf.Program) (link.Link, error) {
	if h.traced {
		return link.AttachTracing(link.TracingOptions{Program: p})
	}
	return link.AttachLSM(link.LSMOptions{Program: p})
}

// explain turns a verifier's refusal into an error that keeps its whole log.
func explain(err error) error {
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		return &engine.VerifierError{Err: err, Log: ve.Log}
	}
	return err
}

// attachedHooks lists the hooks whose pins are there now, and those without which
// this engine does not enforce.
func (p *pinned) attachedHooks() (attached, missing []string) {
	for _, h := range hooks() {
		if _, err := os.Lstat(p.linkPath(h)); err == nil && p.links[h.name] != nil {
			attached = append(attached, h.name)
		} else if h.since == nil {
			missing = append(missing, h.name)
		}
	}
	slices.Sort(attached)
	return attached, missing
}
