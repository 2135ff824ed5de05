// Command genbtf writes small extracts of the type information of the kernels that are
// tested, from their packages, for tests of internal/engine/bpf that need no kernel; and
// beside them what the whole of it gives, which the extracts must give, too.
//
//	genbtf DIR
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/layouttest"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets/offsetstest"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// engineDir has the committed BPF objects.
const engineDir = "internal/engine/bpf"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: genbtf DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "genbtf:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	kernels, err := debian.Kernels(ctx)
	if err != nil {
		return err
	}
	names, err := wanted()
	if err != nil {
		return err
	}
	for _, k := range kernels {
		if err := write(ctx, k, names, filepath.Join(dir, series(k.Release))); err != nil {
			return fmt.Errorf("%s: %w", k.Package, err)
		}
	}
	return nil
}

// series is MAJOR.MINOR of a release.
func series(release string) string {
	f := strings.SplitN(release, ".", 3)
	return strings.Join(f[:min(len(f), 2)], ".")
}

// write writes what is kept of one kernel, and proves that it suffices.
func write(ctx context.Context, k debian.Kernel, names map[string]bool, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	whole, err := load(ctx, k)
	if err != nil {
		return err
	}
	if err := keep(whole.kernel, names, filepath.Join(dir, offsetstest.Kernel)); err != nil {
		return err
	}
	for name, module := range whole.modules {
		if err := keep(module, lookedUp(), filepath.Join(dir, name+".btf")); err != nil {
			return err
		}
	}
	text, err := describe(k, whole)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, offsetstest.Expected), text, 0o644)
}

// describe computes what tests expect.
func describe(k debian.Kernel, whole *whole) ([]byte, error) {
	e := offsetstest.Expectation{Package: k.Package, Release: k.Release, Walk: offsets.Walk{}, Relocations: map[string][]string{}}
	err := errors.Join(e.Walk.FindMapper(whole), e.Walk.FindVerity(whole, offsetstest.Major), e.Walk.FindFileSystems(whole))
	if err != nil {
		return nil, err
	}
	e.AsksFirst, e.HasInfoTable = offsets.AsksFirst(whole.kernel), offsets.HasInfoTable(whole.kernel)
	for _, object := range offsetstest.Objects() {
		lines, err := layouttest.Relocations(filepath.Join(engineDir, object), whole.kernel)
		if err != nil {
			return nil, err
		}
		e.Relocations[object] = lines
	}
	text, err := json.MarshalIndent(e, "", "\t")
	return append(text, '\n'), err
}

// whole is all of a kernel's types.
type whole struct {
	kernel  *btf.Spec
	modules map[string]*btf.Spec
}

// Kernel returns the types of the kernel itself.
func (w *whole) Kernel() (*btf.Spec, error) { return w.kernel, nil }

// Module returns those of a module.
func (w *whole) Module(name string) (*btf.Spec, error) {
	if m, ok := w.modules[name]; ok {
		return m, nil
	}
	return nil, fmt.Errorf("module %s: %w", name, fs.ErrNotExist)
}
