package abi

import (
	"errors"
	"io/fs"
	"os"

	"github.com/cilium/ebpf/btf"
)

// kernelBTF is what the probes want to know of the kernel's type information.
type kernelBTF struct {
	spec *btf.Spec
	err  error
}

func (s *System) btf() kernelBTF {
	file := s.path("sys/kernel/btf/vmlinux")
	if s.Types == nil {
		spec, err := btf.LoadSpec(file)
		return kernelBTF{spec: spec, err: err}
	}
	if _, err := os.Stat(file); err != nil { // nothing else will do that may be found in its place
		return kernelBTF{err: err}
	}
	spec, err := s.Types()
	return kernelBTF{spec: spec, err: err}
}

func (k kernelBTF) present() bool { return k.err == nil }

// absent reports that the file is not there, as opposed to not readable.
func (k kernelBTF) absent() bool { return errors.Is(k.err, fs.ErrNotExist) }

func (k kernelBTF) types(name string) []btf.Type {
	if k.err != nil {
		return nil
	}
	types, err := k.spec.AnyTypesByName(name)
	if err != nil {
		return nil
	}
	return types
}

func (k kernelBTF) hasFunc(name string) bool {
	for _, t := range k.types(name) {
		if _, ok := t.(*btf.Func); ok {
			return true
		}
	}
	return false
}

func (k kernelBTF) hasStruct(name string) bool {
	for _, t := range k.types(name) {
		if _, ok := t.(*btf.Struct); ok {
			return true
		}
	}
	return false
}

func (k kernelBTF) hasMember(name, member string) bool {
	for _, t := range k.types(name) {
		if st, ok := t.(*btf.Struct); ok && isMember(st, member) {
			return true
		}
	}
	return false
}

func isMember(st *btf.Struct, name string) bool {
	for _, m := range st.Members {
		if m.Name == name {
			return true
		}
	}
	return false
}
