package ruletab

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"path"

	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// PathRoom is the room for a path inside a volume, with at least a NUL before it.
const PathRoom = profile.MaxPath + 1

// The kinds of identities: what of them is not zero.
const (
	ByFile     = iota // the digest
	ByRootFile        // the digest and the root hash
	ByPath            // the root hash and the path

	// NumBy is their number.
	NumBy
)

// Identity is the key by which an executable's exceptions are found. The digests are keys
// without operation and kind; the path ends at the end of its room.
type Identity struct {
	Root, File Key
	Path       [PathRoom]byte
}

// NameEndSize is how many bytes of a name are compared before the whole path is. Names
// that differ in none of them, and in length, are rare.
const NameEndSize = 16

// NameEnd is what a path ends with: the length of its last name, and that name's last bytes.
type NameEnd struct {
	Len uint32
	End [NameEndSize]byte
}

// Exception is what processes of an identity may. A rule's number, if it is not 0, is one
// more than the strict.Switch that it has at most.
type Exception struct {
	Rules    [strict.Count]uint8
	AnonExec uint8
}

// Exceptions are those of a profile. An identity's number says the same in each profile
// and each build, so that a process keeps its exceptions when either changes.
type Exceptions struct {
	// Kinds has bit 1 << kind for each kind of identity.
	Kinds   uint32
	Numbers map[Identity]uint64
	Allowed map[uint64]Exception
	// Names and Digests tell in short who is not excepted: by a path, by a file's digest.
	Names   map[NameEnd]uint8
	Digests map[Key]uint8
}

// Except lowers the exceptions of a profile. One that no kernel could ever find, by a
// digest that does not fit, is left out.
func Except(all []profile.Exception) Exceptions {
	x := Exceptions{Numbers: map[Identity]uint64{}, Allowed: map[uint64]Exception{}, Names: map[NameEnd]uint8{}, Digests: map[Key]uint8{}}
	for _, one := range all {
		x.add(one)
	}
	return x
}

func (x *Exceptions) add(one profile.Exception) {
	id, kind, ok := identify(one.Identity)
	if !ok {
		return
	}
	n := id.number()
	x.Kinds |= 1 << kind
	x.Numbers[id] = n
	if kind == ByPath {
		x.Names[nameEnd(one.Identity.Path)] = 1
	} else {
		x.Digests[id.File] = 1
	}
	allowed := x.Allowed[n]
	if one.Rule == strict.None {
		allowed.AnonExec = 1
	} else {
		allowed.Rules[one.Rule] = uint8(one.Action) + 1
	}
	x.Allowed[n] = allowed
}

func identify(i profile.Identity) (id Identity, kind int, ok bool) {
	hasRoot, hasFile := !i.Root.IsZero(), !i.File.IsZero()
	switch {
	case hasRoot && !Fits(i.Root), hasFile && !Fits(i.File), len(i.Path) >= PathRoom:
		return id, 0, false
	case hasFile && !hasRoot && i.Path == "":
		kind = ByFile
	case hasRoot && hasFile && i.Path == "":
		kind = ByRootFile
	case hasRoot && !hasFile && i.Path != "":
		kind = ByPath
	default:
		return id, 0, false
	}
	if hasRoot {
		id.Root = RootKey(i.Root)
	}
	if hasFile {
		id.File = RootKey(i.File)
	}
	copy(id.Path[PathRoom-len(i.Path):], i.Path)
	return id, kind, true
}

func nameEnd(file string) (e NameEnd) {
	name := path.Base(file)
	e.Len = uint32(len(name))
	copy(e.End[:], name[max(0, len(name)-NameEndSize):])
	return e
}

// number is never 0, which stands for none.
func (i *Identity) number() uint64 {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, i) // to memory it never fails
	sum := sha256.Sum256(b.Bytes())
	return binary.LittleEndian.Uint64(sum[:]) | 1
}
