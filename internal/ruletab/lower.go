// Package ruletab lowers a policy to the tables that the kernel side decides by:
// one hash map, at most four lookups a decision whatever the number of rules,
// and exactly the policy's first match.
//
// Rules are split, per operation, by the digests that they name: none, a root
// hash, a file digest, or both. What is left of a rule then is a test of three
// booleans, so each key holds the first matching rule for each of the eight
// combinations. A decision looks up the keys that apply to a file (at most one
// of each kind) and takes the smallest rule index.
//
// This package owns the layout; bpf/layout.gen.h is written from it.
package ruletab

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// MaxRules bounds a policy's rules, and with them the kernel memory of a table:
// about 200 bytes a rule, so 200 MiB. A rule index also has to fit 31 bits.
const MaxRules = 1 << 20

// ErrTooManyRules says that a policy has more than MaxRules rules.
var ErrTooManyRules = errors.New("too many rules")

// Table is a lowered policy.
type Table struct {
	Entries map[Key]Entry

	rootIDs map[Key]uint32 // per operation and root hash
}

// Lower returns the tables of p for a kernel that cannot provide the properties
// in unavailable: rules that test one of them never match there and are left out.
// It fails with ErrTooManyRules only.
func Lower(p *policy.Policy, unavailable policy.KeySet) (*Table, error) {
	if len(p.Rules) > MaxRules {
		return nil, fmt.Errorf("lower policy %s: %w: %d, at most %d", plain.Name(p.Name), ErrTooManyRules, len(p.Rules), MaxRules)
	}
	t := &Table{Entries: make(map[Key]Entry), rootIDs: make(map[Key]uint32)}
	for op := range policy.OpUnknown + 1 {
		h := emptyEntry()
		h.Fallback = fallback(p, op)
		t.Entries[Key{Op: uint8(op)}] = h
	}
	for i := range p.Rules {
		if s, ok := simplify(&p.Rules[i], unavailable); ok {
			t.add(i, &p.Rules[i], s)
		}
	}
	return t, nil
}

// simple is a rule as the tables see it.
type simple struct {
	root, file digest.Digest
	combos     [NumCombos]bool
	needs      uint32
}

// simplify reduces a rule, and reports false if it can never match.
func simplify(r *policy.Rule, unavailable policy.KeySet) (simple, bool) {
	var s simple
	var want, tested uint32
	for _, p := range r.Properties {
		if p.Key != policy.BootVerified && unavailable.Has(p.Key) {
			return s, false
		}
		if p.Key.IsDigest() {
			if !s.setDigest(p) {
				return s, false
			}
			continue
		}
		bit := comboBit(p.Key)
		var value uint32
		if p.Value {
			value = bit
		}
		if tested&bit != 0 && want&bit != value {
			return s, false // TRUE and FALSE in one rule
		}
		tested |= bit
		want |= value
	}
	for c := range s.combos {
		s.combos[c] = uint32(c)&tested == want
	}
	s.needs |= tested // the Combo and Need bits of the booleans are the same
	return s, true
}

// setDigest notes a digest test; false if it contradicts an earlier one or can
// equal nothing.
func (s *simple) setDigest(p policy.Property) bool {
	d, need := &s.root, uint32(NeedRoot)
	if p.Key == policy.FSVerityDigest {
		d, need = &s.file, NeedFile
	}
	if !Fits(p.Digest) || !d.IsZero() && *d != p.Digest {
		return false
	}
	*d = p.Digest
	s.needs |= need
	return true
}

func comboBit(k policy.Key) uint32 {
	switch k {
	case policy.DMVeritySignature:
		return ComboRootSigned
	case policy.FSVeritySignature:
		return ComboFileSigned
	default:
		return ComboBoot
	}
}

// add enters rule number i under its key.
func (t *Table) add(i int, r *policy.Rule, s simple) {
	op := uint8(r.Op)
	header := t.Entries[Key{Op: op}]
	header.Needs |= s.needs
	t.Entries[Key{Op: op}] = header

	key := t.key(op, s)
	e, ok := t.Entries[key]
	if !ok {
		e = emptyEntry()
	}
	code := uint32(i) * 2
	if r.Action == policy.Deny {
		code++
	}
	for c, match := range s.combos {
		if match && e.First[c] == NoMatch {
			e.First[c] = code
		}
	}
	t.Entries[key] = e
}

func (t *Table) key(op uint8, s simple) Key {
	switch {
	case s.root.IsZero() && s.file.IsZero():
		return Key{Op: op}
	case s.file.IsZero():
		return digestKey(op, KindRoot, s.root)
	case s.root.IsZero():
		return digestKey(op, KindFile, s.file)
	}
	k := digestKey(op, KindBoth, s.file)
	k.RootID = t.rootID(op, s.root)
	return k
}

// rootID returns the number that stands for a root hash in keys of KindBoth, and
// makes sure that the lookup of the root hash finds it.
func (t *Table) rootID(op uint8, root digest.Digest) uint32 {
	k := digestKey(op, KindRoot, root)
	if id := t.rootIDs[k]; id != 0 {
		return id
	}
	id := uint32(len(t.rootIDs) + 1)
	t.rootIDs[k] = id
	e, ok := t.Entries[k]
	if !ok {
		e = emptyEntry()
	}
	e.RootID = id
	t.Entries[k] = e
	return id
}

func emptyEntry() Entry {
	var e Entry
	for c := range e.First {
		e.First[c] = NoMatch
	}
	return e
}
