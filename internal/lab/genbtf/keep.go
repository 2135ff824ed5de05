package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets/offsetstest"
)

// lookedUp names the types that internal/engine/bpf/offsets looks up.
func lookedUp() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`
		mapped_device dm_table dm_target target_type
		dm_verity crypto_alg crypto_ahash crypto_shash crypto_tfm
		ovl_inode ovl_file ovl_inode_flag
		btrfs_fs_info btrfs_dev_replace btrfs_fs_devices btrfs_device
		verity_mode ext4_sb_info journal_s
		erofs_sb_info erofs_dev_context erofs_device_info xfs_mount
		linux_binprm fsverity_info`) {
		names[name] = true
	}
	return names
}

// attached tells the functions that programs are attached to, or might be.
func attached(name string) bool {
	others := []string{"fsverity_verify_signature", "dm_swap_table", "dm_destroy", "dm_copy_name_and_uuid",
		"setup_arg_pages", "__x64_sys_personality", "__ia32_sys_personality", "__x64_sys_brk", "__ia32_sys_brk"}
	return strings.HasPrefix(name, "bpf_lsm_") || slices.Contains(others, name)
}

// wanted names the types to keep: those looked up, and those that the programs describe
// for themselves.
func wanted() (map[string]bool, error) {
	names := lookedUp()
	for _, object := range offsetstest.Objects() {
		types, err := btf.LoadSpec(filepath.Join(engineDir, object))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", object, err)
		}
		for t, err := range types.All() {
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", object, err)
			}
			name, _, _ := strings.Cut(t.TypeName(), "___") // what follows tells two views of one type apart
			switch t.(type) {
			case *btf.Struct, *btf.Union, *btf.Enum:
				names[name] = name != ""
			}
		}
	}
	return names, nil
}

// keep writes those of the types that are wanted, or attached to, to a file.
func keep(types *btf.Spec, names map[string]bool, file string) error {
	kept := newExtract()
	var all []btf.Type
	for t, err := range types.All() {
		if err != nil {
			return err
		}
		if _, isFunc := t.(*btf.Func); names[t.TypeName()] || isFunc && attached(t.TypeName()) {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b btf.Type) int { return cmp.Compare(a.TypeName(), b.TypeName()) })
	var out []btf.Type
	for _, t := range all {
		if c := kept.declare(t); c != nil {
			out = append(out, c)
		}
	}
	kept.complete()
	b, err := btf.NewBuilder(out, nil)
	if err != nil {
		return err
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		return err
	}
	return errors.Join(kept.err, os.WriteFile(file, raw, 0o644))
}

// extract copies types without those that they refer to: a pointer is one to anything, a
// struct within that is not kept is so many bytes.
type extract struct {
	copies map[btf.Type]btf.Type // of types that are kept
	// What many copies share.
	pointer     *btf.Pointer
	char, index *btf.Int
	proto       *btf.FuncProto
	opaques     map[int]*btf.Array // by size
	err         error
}

func newExtract() *extract {
	return &extract{
		copies:  map[btf.Type]btf.Type{},
		pointer: &btf.Pointer{Target: &btf.Void{}},
		char:    &btf.Int{Name: "char", Size: 1, Encoding: btf.Char},
		index:   &btf.Int{Name: "unsigned int", Size: 4},
		proto:   &btf.FuncProto{Return: &btf.Void{}},
		opaques: map[int]*btf.Array{},
	}
}

// declare makes the copy of a kept type, without members; nil if it is of no use.
func (x *extract) declare(t btf.Type) (c btf.Type) {
	switch t := t.(type) {
	case *btf.Struct:
		c = &btf.Struct{Name: t.Name, Size: t.Size}
	case *btf.Union:
		c = &btf.Union{Name: t.Name, Size: t.Size}
	case *btf.Enum:
		c = &btf.Enum{Name: t.Name, Size: t.Size, Signed: t.Signed, Values: t.Values}
	case *btf.Func:
		return &btf.Func{Name: t.Name, Linkage: t.Linkage, Type: x.proto}
	default:
		return nil
	}
	x.copies[t] = c
	return c
}

// complete gives the copies their members.
func (x *extract) complete() {
	for t, c := range x.copies {
		switch c := c.(type) {
		case *btf.Struct:
			c.Members = x.members(t.(*btf.Struct).Members)
		case *btf.Union:
			c.Members = x.members(t.(*btf.Union).Members)
		}
	}
}

func (x *extract) members(ms []btf.Member) []btf.Member {
	ms = slices.Clone(ms)
	for i := range ms {
		ms[i].Type = x.within(ms[i].Type)
		ms[i].Tags = nil
	}
	return ms
}

// within is the copy of a member's type.
func (x *extract) within(t btf.Type) btf.Type {
	t = btf.UnderlyingType(t)
	if c, ok := x.copies[t]; ok {
		return c
	}
	switch t := t.(type) {
	case *btf.Int:
		return t
	case *btf.Pointer:
		return x.pointer
	case *btf.Array:
		return &btf.Array{Index: x.index, Type: x.within(t.Type), Nelems: t.Nelems}
	case *btf.Struct:
		if t.Name == "" {
			return &btf.Struct{Size: t.Size, Members: x.members(t.Members)}
		}
	case *btf.Union:
		if t.Name == "" {
			return &btf.Union{Size: t.Size, Members: x.members(t.Members)}
		}
	}
	return x.opaque(t)
}

// opaque is a type of the same size.
func (x *extract) opaque(t btf.Type) btf.Type {
	size, err := btf.Sizeof(t)
	if err != nil {
		x.err = errors.Join(x.err, fmt.Errorf("size of %v: %w", t, err))
	}
	if x.opaques[size] == nil {
		x.opaques[size] = &btf.Array{Index: x.index, Type: x.char, Nelems: uint32(size)}
	}
	return x.opaques[size]
}
