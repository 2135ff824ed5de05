// Package layouttest compares Go types with the structs of C that they stand for, as the
// type information of a committed BPF object has them.
package layouttest

import (
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// Compare holds a Go struct against the C struct of that name, member by member.
func Compare(t *testing.T, types *btf.Spec, name string, goType reflect.Type) {
	t.Helper()
	var c *btf.Struct
	if err := types.TypeByName(name, &c); err != nil {
		t.Fatal(err)
	}
	compare(t, name, c, goType)
}

func compare(t *testing.T, name string, c *btf.Struct, goType reflect.Type) {
	t.Helper()
	var fields []reflect.StructField
	for i := range goType.NumField() {
		if f := goType.Field(i); f.Type.Size() > 0 { // structs.HostLayout takes no room
			fields = append(fields, f)
		}
	}
	if int(c.Size) != int(goType.Size()) || len(c.Members) != len(fields) {
		t.Fatalf("%s: C has %d bytes in %d members, Go %d in %d", name, c.Size, len(c.Members), goType.Size(), len(fields))
	}
	for i, m := range c.Members {
		f := fields[i]
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		if uintptr(m.Offset.Bytes()) != f.Offset || uintptr(size) != f.Type.Size() {
			t.Errorf("%s.%s: C at %d, %d bytes; Go %s at %d, %d bytes", name, m.Name, m.Offset.Bytes(), size, f.Name, f.Offset, f.Type.Size())
		}
		if inner, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok {
			compare(t, name+"."+m.Name, inner, f.Type)
		}
	}
}
