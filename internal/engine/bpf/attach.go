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
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// attach adopts every pinned map and link, and makes those that are missing. A
// process that was killed half-way through leaves what the next one completes.
func (e *Engine) attach(spec *ebpf.CollectionSpec, types *btf.Cache) error {
	if err := e.openMaps(spec); err != nil {
		return errors.Join(abi.Explain(), err)
	}
	missing, err := e.adoptLinks()
	if err != nil {
		return err
	}
	if err := errors.Join(e.endMarks(missing), e.ask(*e.profile.Load())); err != nil {
		return err
	}
	var wanted []hook
	if len(missing) > 0 {
		kernel, err := types.Kernel()
		if err != nil {
			return fmt.Errorf("read kernel BTF: %w", err)
		}
		if wanted, err = e.supported(missing, kernel); err != nil {
			return err
		}
	}
	e.adopted = !slices.ContainsFunc(wanted, hook.needed)
	e.listens = slices.ContainsFunc(wanted, func(h hook) bool { return h.remembers == mapSigned && h.name != freeInode })
	return e.load(spec, wanted, types)
}

// supported remembers those that this kernel lacks: to look for one takes all of its types.
func (e *Engine) supported(missing []hook, kernel *btf.Spec) ([]hook, error) {
	found, err := supported(missing, kernel)
	for _, h := range missing {
		if !h.mapper && !slices.ContainsFunc(found, func(f hook) bool { return f.name == h.name }) {
			e.lacks[h.name] = true
		}
	}
	return found, err
}

// adoptLinks opens the pinned links and returns the hooks that have none. A link
// whose program uses other maps than ours, left by a removal that was cut off,
// counts as none. Those that the profile does not ask for are detached.
func (e *Engine) adoptLinks() (missing []hook, err error) {
	for _, h := range hooks() {
		if !h.wantedBy(*e.profile.Load()) {
			if err := e.detach(h); err != nil {
				return nil, err
			}
			continue
		}
		l, err := link.LoadPinnedLink(e.linkPath(h), nil)
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing = append(missing, h)
			continue
		case err != nil:
			return nil, fmt.Errorf("adopt link %s: %w", h.name, err)
		}
		ours, err := e.usesOurMaps(l)
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
		e.links.set(h.name, l)
	}
	return missing, nil
}

// detach lets the pin go, which is the last of the link unless this process has it.
func (p *pinned) detach(h hook) error {
	if err := os.Remove(p.linkPath(h)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("detach %s: %w", h.name, err)
	}
	return nil
}

// usesOurMaps reports whether the maps that the link's program uses are those that are
// pinned for it.
func (p *pinned) usesOurMaps(l link.Link) (bool, error) {
	program, err := programOf(l)
	if err != nil {
		return false, err
	}
	defer program.Close()
	pinfo, err := program.Info()
	if err != nil {
		return false, err
	}
	used, ok := pinfo.MapIDs()
	if !ok {
		return false, errors.New("the kernel does not say which maps a program uses")
	}
	ours := map[ebpf.MapID]bool{}
	for _, m := range p.maps {
		minfo, err := m.Info()
		if err != nil {
			return false, err
		}
		id, ok := minfo.ID()
		ours[id] = ok
	}
	return !slices.ContainsFunc(used, func(id ebpf.MapID) bool { return !ours[id] }), nil
}

func (p *pinned) linkPath(h hook) string { return filepath.Join(p.dir.build, "link_"+h.name) }

// load loads the programs of the wanted hooks on our maps and attaches them.
func (p *pinned) load(spec *ebpf.CollectionSpec, wanted []hook, cache *btf.Cache) error {
	if len(wanted) == 0 {
		return nil
	}
	coll, err := p.loadOnly(spec, wanted, cache)
	if err != nil {
		return err
	}
	defer coll.Close()
	for _, h := range wanted {
		l, err := attachProgram(h, coll.Programs[h.program])
		if err != nil {
			return err
		}
		if err := p.keepLink(h, l); err != nil {
			return err
		}
	}
	return p.endMarks(wanted)
}

// loadOnly loads the programs of the wanted hooks on our maps.
func (p *pinned) loadOnly(spec *ebpf.CollectionSpec, wanted []hook, cache *btf.Cache) (*ebpf.Collection, error) {
	for name := range spec.Programs {
		if !slices.ContainsFunc(wanted, func(h hook) bool { return h.program == name }) {
			delete(spec.Programs, name)
		}
	}
	types, err := cache.Kernel()
	if err != nil {
		return nil, fmt.Errorf("read kernel BTF: %w", err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: p.maps,
		Cache:           cache,
		// Only the kernel's own types: one broken module would fail every load.
		Programs: ebpf.ProgramOptions{KernelTypes: types},
	})
	if err != nil {
		return nil, fmt.Errorf("load BPF object: %w", errors.Join(abi.Explain(), explain(err)))
	}
	return coll, nil
}

// keepLink pins a link in the place of a foreign one, if there is one; both enforce in
// between.
func (p *pinned) keepLink(h hook, l link.Link) error {
	p.pinning.Lock()
	defer p.pinning.Unlock()
	p.links.set(h.name, l)
	if err := os.Remove(p.linkPath(h)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace pin of %s: %w", h.name, err)
	}
	if err := l.Pin(p.linkPath(h)); err != nil {
		return fmt.Errorf("pin %s: %w", h.name, err)
	}
	return nil
}

func attachProgram(h hook, program *ebpf.Program) (l link.Link, err error) {
	if h.traced {
		l, err = link.AttachTracing(link.TracingOptions{Program: program})
	} else {
		l, err = link.AttachLSM(link.LSMOptions{Program: program})
	}
	if errors.Is(err, unix.ENODEV) {
		err = &abi.UnsupportedError{Feature: abi.Ftrace, Fix: "reboot",
			Detail: "the kernel has given ftrace up after a fault of its own, which its log tells: " + err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("attach %s: %w", h.name, err)
	}
	return l, nil
}

// programOf opens the program of a link.
func programOf(l link.Link) (*ebpf.Program, error) {
	info, err := l.Info()
	if err != nil {
		return nil, err
	}
	return ebpf.NewProgramFromID(info.Program)
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
		if _, err := os.Lstat(p.linkPath(h)); err == nil && p.links.get(h.name) != nil {
			attached = append(attached, h.name)
		} else if h.needed() {
			missing = append(missing, h.name)
		}
	}
	slices.Sort(attached)
	return attached, missing
}
