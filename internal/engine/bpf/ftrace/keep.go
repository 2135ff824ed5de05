package ftrace

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// guardDir names the directory of the guard's pin; another build has another.
func guardDir() string {
	sum := sha256.Sum256(_FtraceBytes)
	return fmt.Sprintf("ftrace-%x", sum[:8])
}

func (g *Guard) guardPin() string { return filepath.Join(g.root, guardDir(), "link_bpf") }

// guards lists the directories of the guards of all builds.
func (g *Guard) guards() ([]string, error) { return filepath.Glob(filepath.Join(g.root, "ftrace-*")) }

// removeGuards unpins guards, all but the one in a directory that is given.
func (g *Guard) removeGuards(but string) error {
	dirs, err := g.guards()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if dir == but {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove guard: %w", err)
		}
	}
	return nil
}

// holdWithoutGuards is hold, when a guard is in its way: one of another build, or one
// that is there though what it guarded is gone. It unpins them and waits for their end.
// A program of an earlier build refuses meanwhile as it did.
func (g *Guard) holdWithoutGuards() error {
	dirs, err := g.guards()
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return g.trouble
	}
	if err := g.removeGuards(""); err != nil {
		return err
	}
	err = g.hold()
	for end := time.Now().Add(guardEnds); errors.Is(err, errRefused) && time.Now().Before(end); err = g.hold() {
		time.Sleep(10 * time.Millisecond) // nothing tells when it has ended
	}
	return err
}

// keep adopts the pinned guard, or attaches one.
func (g *Guard) keep(types *btf.Cache) error {
	ours := filepath.Dir(g.guardPin())
	if err := g.adoptGuard(); err != nil {
		return err
	}
	if g.guard == nil {
		if err := g.attachGuard(ours, types); err != nil {
			return err
		}
	}
	return g.removeGuards(ours)
}

// adoptGuard opens the pinned link if its program is that of this build.
func (g *Guard) adoptGuard() error {
	l, err := link.LoadPinnedLink(g.guardPin(), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adopt link: %w", err)
	}
	info, err := l.Info()
	if err == nil {
		err = g.isGuard(info.Program)
	}
	switch {
	case err == nil:
		g.guard = l
		return nil
	case !errors.Is(err, ebpf.ErrProgIncompatible):
		l.Close()
		return fmt.Errorf("adopt link: %w", err)
	}
	g.log.Warn("replacing a guard of kernel.ftrace_enabled that is not ours", "pin", g.guardPin())
	return l.Close()
}

func (g *Guard) isGuard(id ebpf.ProgramID) error {
	info, err := programInfo(id)
	if err != nil {
		return err
	}
	return g.spec.Programs[ftraceKeep].Compatible(info)
}

func (g *Guard) attachGuard(dir string, types *btf.Cache) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make pin directory: %w", err)
	}
	if err := g.checkDir(dir); err != nil {
		return err
	}
	kernel, err := types.Kernel()
	if err != nil {
		return fmt.Errorf("read kernel BTF: %w", err)
	}
	spec := g.spec.Copy()
	delete(spec.Programs, ftraceOn)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types, Programs: ebpf.ProgramOptions{KernelTypes: kernel}})
	if err != nil {
		return fmt.Errorf("load BPF object: %w", err)
	}
	defer coll.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: coll.Programs[ftraceKeep]})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	g.guard = l
	if err := os.Remove(g.guardPin()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace pin: %w", err)
	}
	if err := l.Pin(g.guardPin()); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}
