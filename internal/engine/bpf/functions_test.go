package bpf

import (
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestFunctionsCannotBeReplaced reads from each object what bpf/kept.h promises: a
// function that an extension program could replace does not exist. In guests
// TestEngineFunctionsCannotBeReplaced tries it.
func TestFunctionsCannotBeReplaced(t *testing.T) {
	objects := 0
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, "_bpfel.o") || strings.HasSuffix(path, "_bpfeb.o")) {
			objects++
			for _, name := range replaceable(t, path) {
				t.Errorf("%s: %s can be replaced", filepath.Base(path), name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if objects < 10 {
		t.Errorf("read %d objects, want those of five sources for both byte orders", objects)
	}
}

// replaceable are the functions of an object that are global and have no argument that
// keeps them.
func replaceable(t *testing.T, path string) (names []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec, err := btf.LoadSpecFromReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	functions := globals(t, f)
	for _, name := range functions {
		var typ *btf.Func
		if err := spec.TypeByName(name, &typ); err != nil {
			t.Fatalf("%s: %s: %v", path, name, err)
		}
		if !isKept(typ.Type.(*btf.FuncProto)) {
			names = append(names, name)
		}
	}
	if len(functions) == 0 {
		t.Errorf("%s: no function", path)
	}
	return names
}

// globals are the functions that the ELF symbols call global or weak.
func globals(t *testing.T, f *os.File) (names []string) {
	t.Helper()
	object, err := elf.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := object.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && elf.ST_BIND(s.Info) != elf.STB_LOCAL {
			names = append(names, s.Name)
		}
	}
	return names
}

// isKept reports whether an argument is a pointer to a number. Of a program that is the
// only one: the arguments of the hook, behind which the kernel sees none of its own types.
func isKept(p *btf.FuncProto) bool {
	for _, param := range p.Params {
		if to, ok := btf.As[*btf.Pointer](param.Type); ok {
			if _, ok := btf.As[*btf.Int](to.Target); ok {
				return true
			}
		}
	}
	return false
}
