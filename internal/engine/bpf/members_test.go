//go:build !guest

package bpf

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// typesOf reads BTF with these types in it, as a module may have them.
func typesOf(t *testing.T, types ...btf.Type) *btf.Spec {
	t.Helper()
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestRepeatedTypes: a type that a module has several times is understood if all of
// them say the same of a member, and not otherwise.
func TestRepeatedTypes(t *testing.T) {
	small, large := &btf.Int{Name: "int", Size: 4}, &btf.Int{Name: "long", Size: 8}
	thing := func(member string, at uint32, typ btf.Type) *btf.Struct {
		return &btf.Struct{Name: "thing", Size: 24, Members: []btf.Member{{Name: "first", Type: large}, {Name: member, Type: typ, Offset: btf.Bits(8 * at)}}}
	}
	for _, tt := range []struct {
		name  string
		types []btf.Type
		want  uint32
	}{
		{"once", []btf.Type{thing("member", 8, large)}, 8},
		{"again and again", []btf.Type{thing("member", 8, large), thing("member", 8, large), &btf.Fwd{Name: "thing"}, thing("member", 8, large)}, 8},
		{"elsewhere", []btf.Type{thing("member", 8, large), thing("member", 8, large), thing("member", 16, large)}, noOffset},
		{"of another size", []btf.Type{thing("member", 8, large), thing("member", 8, small)}, noOffset},
		{"of another size first", []btf.Type{thing("member", 8, small), thing("member", 8, large)}, noOffset},
		{"gone", []btf.Type{thing("member", 8, large), thing("other", 8, large)}, noOffset},
		{"gone first", []btf.Type{thing("other", 8, large), thing("member", 8, large)}, noOffset},
		{"never there", []btf.Type{thing("other", 8, large)}, noOffset},
		{"no such type", nil, noOffset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := members{specs: []*btf.Spec{typesOf(t, append(tt.types, large)...)}}
			if got := m.must("thing", "member", long); got != tt.want || (m.err == nil) != (tt.want != noOffset) {
				t.Errorf("offset %d, %v; want %d", got, m.err, tt.want)
			}
		})
	}
}
