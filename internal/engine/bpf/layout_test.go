//go:build !guest

package bpf

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/ipe-linux/ipe/internal/engine/bpf/layouttest"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
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
		"identity": reflect.TypeFor[ruletab.Identity](), "exception": reflect.TypeFor[ruletab.Exception](),
		"name_end": reflect.TypeFor[ruletab.NameEnd](), "walk": reflect.TypeFor[offsets.Walk](),
	} {
		layouttest.Compare(t, spec.Types, name, goType)
	}
	// A library that reads it wants no bytes left, and counts no padding.
	if n := binary.Size(offsets.Walk{}); n != int(spec.Maps[mapWalk].ValueSize) {
		t.Errorf("struct walk has %d bytes with padding, %d without", spec.Maps[mapWalk].ValueSize, n)
	}
	inner := spec.Maps[mapActive].InnerMap
	if inner.KeySize != uint32(reflect.TypeFor[ruletab.Key]().Size()) || inner.ValueSize != uint32(reflect.TypeFor[ruletab.Meta]().Size()) {
		t.Errorf("the tables' map has keys of %d and values of %d bytes", inner.KeySize, inner.ValueSize)
	}
}
