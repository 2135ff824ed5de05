package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// Module gives the bytes of a kernel module, uncompressed, as in the package
// otherwise (so its signature is whole).
func (k Kernel) Module(ctx context.Context, name string) ([]byte, error) {
	index, err := k.index()
	if err != nil {
		return nil, err
	}
	file, ok := index[moduleName(name)]
	if !ok || file == "" {
		return nil, fmt.Errorf("find module %s of %s: %w", name, k.Release, fs.ErrNotExist)
	}
	return readModule(ctx, file)
}

// index maps module names to host files; modules built into the kernel have "".
func (k Kernel) index() (map[string]string, error) {
	index := map[string]string{}
	builtin, err := os.ReadFile(filepath.Join(k.moduleDir(), "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	for file := range strings.FieldsSeq(string(builtin)) {
		index[moduleName(file)] = ""
	}
	err = filepath.WalkDir(filepath.Join(k.moduleDir(), "kernel"), func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			index[moduleName(file)] = file
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list modules of %s: %w", k.Release, err)
	}
	return index, nil
}

// moduleName is the kernel's name of a module, given that or a file's name: "-"
// and "_" are the same to modprobe.
func moduleName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// readModule reads a module's file, through xz when it is compressed.
func readModule(ctx context.Context, file string) ([]byte, error) {
	if !strings.HasSuffix(file, ".xz") {
		return os.ReadFile(file)
	}
	out, err := exec.CommandContext(ctx, "xz", "-dc", file).Output()
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", filepath.Base(file), err)
	}
	return out, nil
}

// loader puts modules into the guest in an order in which each finds those it needs.
type loader struct {
	index  map[string]string
	params map[string]string
	files  Files
	order  []wire.Module
}

// modules resolves the modules asked for, each "NAME" or "NAME PARAMETERS", and
// all that they depend on.
func (k Kernel) modules(ctx context.Context, want []string) (Files, []wire.Module, error) {
	if len(want) == 0 {
		return nil, nil, nil
	}
	index, err := k.index()
	if err != nil {
		return nil, nil, err
	}
	l := loader{index: index, params: map[string]string{}, files: Files{}}
	for _, w := range want {
		name, params, _ := strings.Cut(w, " ")
		l.params[moduleName(name)] = params
	}
	for _, w := range want {
		name, _, _ := strings.Cut(w, " ")
		if err := l.add(ctx, name); err != nil {
			return nil, nil, fmt.Errorf("resolve module %s of %s: %w", name, k.Release, err)
		}
	}
	return l.files, l.order, nil
}

func (l *loader) add(ctx context.Context, name string) error {
	name = moduleName(name)
	file, ok := l.index[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	place := wire.ModuleDir + "/" + name + ".ko"
	if _, done := l.files[place]; done || file == "" {
		return nil
	}
	data, err := readModule(ctx, file)
	if err != nil {
		return err
	}
	needs, err := dependencies(data)
	if err != nil {
		return err
	}
	l.files[place] = File{Data: data}
	for _, need := range needs {
		if err := l.add(ctx, need); err != nil {
			return err
		}
	}
	l.order = append(l.order, wire.Module{Path: place, Params: l.params[name]})
	return nil
}

// dependencies reads "depends=a,b" from the .modinfo section, where modprobe's
// modules.dep comes from, too. Packages ship without that file.
func dependencies(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module: no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ","), nil
		}
	}
	return nil, nil
}
