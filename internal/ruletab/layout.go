package ruletab

import (
	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
)

// LayoutVersion changes with the layout or the meaning of keys and entries. A build
// of the engine takes over the tables of another one only if it is the same.
const LayoutVersion = 1

// The sizes of a digest inside a key, the name with a NUL behind it. Both are above
// what any kernel offers: the longest generic hash name is 12 bytes, the longest
// verity digest 64. A literal that does not fit can equal nothing and is left out.
const (
	AlgSize = 24
	SumSize = 64
)

// Kind says which digests the rules behind a key name.
type Kind uint8

// The kinds of keys. KindNone's entry is the header of its operation; it always
// exists. KindMeta's value is a Meta.
const (
	KindNone Kind = iota
	KindRoot
	KindFile
	KindBoth
	KindMeta
)

// Key finds an Entry. Digest bytes not used are zero. For KindBoth the root hash
// is named by the number that its KindRoot entry carries, the file digest whole.
type Key struct {
	Op     uint8
	Kind   Kind
	Len    uint8
	_      uint8
	RootID uint32
	Alg    [AlgSize]byte
	Sum    [SumSize]byte
}

// Bits of a combination of the three boolean facts, the index into Entry.First.
const (
	ComboBoot       = 1 << iota // boot_verified
	ComboRootSigned             // dmverity_signature
	ComboFileSigned             // fsverity_signature

	NumCombos = 1 << iota
)

// Bits of Entry.Needs: the facts that rules of this operation look at. What is
// not needed is not read.
const (
	NeedBoot = 1 << iota
	NeedRootSigned
	NeedFileSigned
	NeedRoot
	NeedFile
)

// NoMatch in Entry.First: no rule of this key matches that combination.
const NoMatch = ^uint32(0)

// Entry holds, for each combination of the boolean facts, the first matching
// rule of its key, as rule index * 2 + 1 if the rule denies. The smallest
// number of all keys that apply is the rule that comes first in the policy.
type Entry struct {
	First [NumCombos]uint32
	// Needs and Fallback count in headers only. Fallback is the action and, shifted
	// by 8 bits, the scope of the default that decides if no rule does.
	Needs    uint32
	Fallback uint32
	// RootID, in a KindRoot entry, is not 0 if rules name this root hash together
	// with a file digest.
	RootID uint32
	_      uint32
	// Generation, in headers, is the number of the table.
	Generation uint64
}

// Meta is the value behind the KindMeta key, of an Entry's size: what this table
// was made from, so that whoever finds it in the kernel can tell.
type Meta struct {
	ID         [32]byte
	Generation uint64
	// Unavailable are the properties that the policy was lowered without.
	Unavailable policy.KeySet
	_           [15]byte
}

// MetaKey is the key of a table's Meta.
func MetaKey() Key { return Key{Kind: KindMeta} }

// Fits reports whether a digest can be a key, and so whether a kernel could ever
// report it.
func Fits(d digest.Digest) bool {
	a, s := len(d.Algorithm()), d.Size()
	return a > 0 && a < AlgSize && s > 0 && s <= SumSize
}

// RootKey is the key of a digest for itself, as in the set of root hashes that are signed.
func RootKey(d digest.Digest) Key { return digestKey(0, 0, d) }

func digestKey(op uint8, kind Kind, d digest.Digest) Key {
	k := Key{Op: op, Kind: kind, Len: uint8(d.Size())}
	copy(k.Alg[:], d.Algorithm())
	copy(k.Sum[:], d.Bytes())
	return k
}
