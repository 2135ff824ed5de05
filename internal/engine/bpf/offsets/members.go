package offsets

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// members looks up struct members, in a driver's own types and then in the
// kernel's, and keeps the first error.
type members struct {
	specs []*btf.Spec
	err   error
}

// The sizes that the programs read, in bytes.
const (
	anySize  = 0
	flag     = 1
	word     = 4
	long     = 8
	pointer  = 8
	listHead = 16
)

func (m *members) must(typ, member string, size int) uint32 {
	off, ok := m.find(typ, member, size)
	if !ok && m.err == nil {
		m.err = fmt.Errorf("struct %s has no %s of the size expected", typ, member)
	}
	return off
}

func (m *members) has(typ string) bool { return len(m.structs(typ)) > 0 }

// hasMember is find for members of any kind, bit fields, too.
func (m *members) hasMember(typ, member string) bool {
	for _, s := range m.structs(typ) {
		for _, f := range s.Members {
			if f.Name == member {
				return true
			}
		}
	}
	return false
}

// structs returns the types of that name, those of the first specification that
// has any. There may be several: a module repeats a type of the kernel when some
// part of it looks different from there.
func (m *members) structs(name string) (found []*btf.Struct) {
	for _, spec := range m.specs {
		types, err := spec.AnyTypesByName(name)
		if err != nil {
			continue
		}
		for _, t := range types {
			if s, ok := t.(*btf.Struct); ok {
				found = append(found, s)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	return found
}

// find returns the offset of a member on which all types of that name agree: some
// modules repeat a type several times. Where one of them differs, or lacks the member,
// nobody can say which of them it is that the kernel means.
func (m *members) find(typ, member string, size int) (uint32, bool) {
	off := None
	for i, s := range m.structs(typ) {
		at, ok := offsetOf(s.Members, member, size)
		if !ok || i > 0 && off != at {
			return None, false
		}
		off = at
	}
	return off, off != None
}

// offsetOf looks for a member, in anonymous structs and unions, too.
func offsetOf(ms []btf.Member, name string, size int) (uint32, bool) {
	for _, f := range ms {
		if f.Name == name && f.BitfieldSize == 0 {
			n, err := btf.Sizeof(f.Type)
			return f.Offset.Bytes(), err == nil && (size == anySize || size == n)
		}
		if f.Name != "" {
			continue
		}
		if off, ok := offsetOf(inner(f.Type), name, size); ok {
			return f.Offset.Bytes() + off, true
		}
	}
	return None, false
}

func inner(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

// bit is the value of an enumerator.
func (m *members) bit(enum, name string) (uint32, bool) {
	for _, spec := range m.specs {
		var e *btf.Enum
		if spec.TypeByName(enum, &e) != nil {
			continue
		}
		for _, v := range e.Values {
			if v.Name == name && v.Value < 64 {
				return uint32(v.Value), true
			}
		}
	}
	return 0, false
}
