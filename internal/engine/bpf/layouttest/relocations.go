package layouttest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Relocations says, in sorted lines, what the loader makes of each access of an object's
// programs to a type of the kernel: a member, and its place in that kernel.
// "poison" is what the kernel lacks; a program that reaches it is refused.
func Relocations(object string, kernel *btf.Spec) ([]string, error) {
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		return nil, fmt.Errorf("relocate %s: %w", object, err)
	}
	lines := map[string]bool{}
	for _, program := range spec.Programs {
		var relocations []*btf.CORERelocation
		for i := range program.Instructions {
			if r := btf.CORERelocationMetadata(&program.Instructions[i]); r != nil {
				relocations = append(relocations, r)
			}
		}
		var types btf.Builder
		fixups, err := btf.CORERelocate(relocations, []*btf.Spec{kernel}, binary.LittleEndian, types.Add)
		if err != nil {
			return nil, fmt.Errorf("relocate %s: %s: %w", object, program.Name, err)
		}
		for i, r := range relocations {
			name, err := accessed(spec.Types, r)
			if err != nil {
				return nil, fmt.Errorf("relocate %s: %w", object, err)
			}
			fixup := local.ReplaceAllString(fixups[i].String(), "=")
			lines[name+" "+numbered.ReplaceAllString(fixup, "target_type_id=known")] = true
		}
	}
	return slices.Sorted(maps.Keys(lines)), nil
}

// local matches what a fixup says of the place in C, which does not matter.
var local = regexp.MustCompile(`=\d+->`)

// numbered matches the number of a type, which an extract of a kernel's types changes.
var numbered = regexp.MustCompile(`^target_type_id=\d+`)

// described matches what a relocation says of itself: which type of the object it is
// about, and the way to the member by numbers.
var described = regexp.MustCompile(`\[([0-9:]+)\], local_id=(\d+)\)$`)

// accessed names what a relocation is about: "inode.i_sb".
func accessed(types *btf.Spec, r *btf.CORERelocation) (string, error) {
	m := described.FindStringSubmatch(r.String())
	if m == nil {
		return "", fmt.Errorf("%s: it is not described as expected", r)
	}
	id, err := strconv.ParseUint(m[2], 10, 32)
	if err != nil {
		return "", err
	}
	t, err := types.TypeByID(btf.TypeID(id))
	if err != nil {
		return "", err
	}
	name := t.TypeName()
	steps := strings.Split(m[1], ":")
	for _, step := range steps[1:] { // the first is an index into the type itself
		n, err := strconv.Atoi(step)
		if err != nil {
			return "", err
		}
		switch at := btf.UnderlyingType(t).(type) {
		case *btf.Struct:
			name += "." + at.Members[n].Name
			t = at.Members[n].Type
		case *btf.Union:
			name += "." + at.Members[n].Name
			t = at.Members[n].Type
		case *btf.Array:
			name += "[" + step + "]"
			t = at.Type
		default:
			return "", fmt.Errorf("%s: %s has no members", r, name)
		}
	}
	return name, nil
}
