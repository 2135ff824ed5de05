package offsets

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
		{"elsewhere", []btf.Type{thing("member", 8, large), thing("member", 8, large), thing("member", 16, large)}, None},
		{"of another size", []btf.Type{thing("member", 8, large), thing("member", 8, small)}, None},
		{"of another size first", []btf.Type{thing("member", 8, small), thing("member", 8, large)}, None},
		{"gone", []btf.Type{thing("member", 8, large), thing("other", 8, large)}, None},
		{"gone first", []btf.Type{thing("other", 8, large), thing("member", 8, large)}, None},
		{"never there", []btf.Type{thing("other", 8, large)}, None},
		{"no such type", nil, None},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := members{specs: []*btf.Spec{typesOf(t, append(tt.types, large)...)}}
			if got := m.must("thing", "member", long); got != tt.want || (m.err == nil) != (tt.want != None) {
				t.Errorf("offset %d, %v; want %d", got, m.err, tt.want)
			}
		})
	}
}

// TestAnonymousMembers: what has no name is no step on the way to a member, but takes room.
func TestAnonymousMembers(t *testing.T) {
	long8 := &btf.Int{Name: "long", Size: 8}
	within := &btf.Struct{Size: 16, Members: []btf.Member{{Name: "first", Type: long8}, {Name: "member", Type: long8, Offset: 64}}}
	either := &btf.Union{Size: 16, Members: []btf.Member{{Type: within}}}
	named := &btf.Struct{Name: "other", Size: 8, Members: []btf.Member{{Name: "hidden", Type: long8}}}
	thing := &btf.Struct{Name: "thing", Size: 32, Members: []btf.Member{{Name: "named", Type: named}, {Type: either, Offset: 128}}}
	m := members{specs: []*btf.Spec{typesOf(t, thing)}}
	if got := m.must("thing", "member", long); got != 24 || m.err != nil {
		t.Errorf("offset %d, %v; want 24", got, m.err)
	}
	if got, ok := m.find("thing", "hidden", long); ok {
		t.Errorf("a member of a member that has a name was found, at %d", got)
	}
}
