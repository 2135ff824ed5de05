// Package layouttest looks into committed BPF objects: whether Go types have the layout
// of the structs of C that they stand for, and where programs would find what they read of
// a kernel.
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
	if n := len(fields) - 1; n == len(c.Members) && fields[n].Name == "_" {
		fields = fields[:n] // C rounds up without saying so
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
