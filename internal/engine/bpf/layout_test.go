//go:build !guest

package bpf

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/ruletab"
)

// TestLayout compares the tables' Go types with what the committed object's BTF
// says of their C types, field by field.
func TestLayout(t *testing.T) {
	spec, err := loadIpe()
	if err != nil {
		t.Fatal(err)
	}
	for name, goType := range map[string]reflect.Type{
		"table_key": reflect.TypeFor[ruletab.Key](), "table_entry": reflect.TypeFor[ruletab.Entry](),
	} {
		var c *btf.Struct
		if err := spec.Types.TypeByName(name, &c); err != nil {
			t.Fatal(err)
		}
		if int(c.Size) != int(goType.Size()) || len(c.Members) != goType.NumField() {
			t.Fatalf("%s: C has %d bytes in %d members, Go %d in %d", name, c.Size, len(c.Members), goType.Size(), goType.NumField())
		}
		for i, m := range c.Members {
			f := goType.Field(i)
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				t.Fatal(err)
			}
			if uintptr(m.Offset.Bytes()) != f.Offset || uintptr(size) != f.Type.Size() {
				t.Errorf("%s.%s: C at %d, %d bytes; Go %s at %d, %d bytes", name, m.Name, m.Offset.Bytes(), size, f.Name, f.Offset, f.Type.Size())
			}
		}
	}
	inner := spec.Maps[mapActive].InnerMap
	if inner.KeySize != uint32(reflect.TypeFor[ruletab.Key]().Size()) || inner.ValueSize != uint32(reflect.TypeFor[ruletab.Meta]().Size()) {
		t.Errorf("the tables' map has keys of %d and values of %d bytes", inner.KeySize, inner.ValueSize)
	}
}
