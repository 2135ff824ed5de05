package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// loader puts modules into the guest in an order in which each finds those it needs.
type loader struct {
	index  map[string]string
	params map[string]string
	files  Files
	order  []wire.Module
}

// modulesFor resolves the modules asked for, each "NAME" or "NAME PARAMETERS", and
// all that they depend on.
func modulesFor(ctx context.Context, k debian.Kernel, want []string) (Files, []wire.Module, error) {
	if len(want) == 0 {
		return nil, nil, nil
	}
	index, err := k.Modules()
	if err != nil {
		return nil, nil, err
	}
	l := loader{index: index, params: map[string]string{}, files: Files{}}
	for _, w := range want {
		name, params, _ := strings.Cut(w, " ")
		l.params[debian.ModuleName(name)] = params
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
	name = debian.ModuleName(name)
	file, ok := l.index[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	place := wire.ModuleDir + "/" + name + ".ko"
	if _, done := l.files[place]; done || file == "" {
		return nil
	}
	data, err := debian.ReadModule(ctx, file)
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
