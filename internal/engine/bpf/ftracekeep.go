package bpf

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

func (f *ftrace) guardPin() string { return filepath.Join(f.root, guardDir(), "link_bpf") }

// guards lists the directories of the guards of all builds.
func (f *ftrace) guards() ([]string, error) { return filepath.Glob(filepath.Join(f.root, "ftrace-*")) }

// removeGuards unpins guards, all but the one in a directory that is given.
func (f *ftrace) removeGuards(but string) error {
	dirs, err := f.guards()
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
func (f *ftrace) holdWithoutGuards() error {
	dirs, err := f.guards()
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return f.trouble
	}
	if err := f.removeGuards(""); err != nil {
		return err
	}
	err = f.hold()
	for end := time.Now().Add(guardEnds); errors.Is(err, errRefused) && time.Now().Before(end); err = f.hold() {
		time.Sleep(10 * time.Millisecond) // nothing tells when it has ended
	}
	return err
}

// keep adopts the pinned guard, or attaches one.
func (f *ftrace) keep(types *btf.Cache) error {
	ours := filepath.Dir(f.guardPin())
	if err := f.adoptGuard(); err != nil {
		return err
	}
	if f.guard == nil {
		if err := f.attachGuard(ours, types); err != nil {
			return err
		}
	}
	return f.removeGuards(ours)
}

// adoptGuard opens the pinned link if its program is that of this build.
func (f *ftrace) adoptGuard() error {
	l, err := link.LoadPinnedLink(f.guardPin(), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adopt link: %w", err)
	}
	info, err := l.Info()
	if err == nil {
		err = f.isGuard(info.Program)
	}
	switch {
	case err == nil:
		f.guard = l
		return nil
	case !errors.Is(err, ebpf.ErrProgIncompatible):
		l.Close()
		return fmt.Errorf("adopt link: %w", err)
	}
	f.log.Warn("replacing a guard of kernel.ftrace_enabled that is not ours", "pin", f.guardPin())
	return l.Close()
}

func (f *ftrace) isGuard(id ebpf.ProgramID) error {
	info, err := programInfo(id)
	if err != nil {
		return err
	}
	return f.spec.Programs[ftraceKeep].Compatible(info)
}

func (f *ftrace) attachGuard(dir string, types *btf.Cache) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make pin directory: %w", err)
	}
	if err := checkOwner(dir); err != nil {
		return err
	}
	kernel, err := types.Kernel()
	if err != nil {
		return fmt.Errorf("read kernel BTF: %w", err)
	}
	spec := f.spec.Copy()
	delete(spec.Programs, ftraceOn)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: types, Programs: ebpf.ProgramOptions{KernelTypes: kernel}})
	if err != nil {
		return fmt.Errorf("load BPF object: %w", explain(err))
	}
	defer coll.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: coll.Programs[ftraceKeep]})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	f.guard = l
	if err := os.Remove(f.guardPin()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace pin: %w", err)
	}
	if err := l.Pin(f.guardPin()); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}
