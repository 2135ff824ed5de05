package ruletab

import (
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// Decide interprets the table step by step as the kernel side does. What was
// unavailable was settled when lowering; Evidence.Unavailable is not looked at.
func (t *Table) Decide(e eval.Event) eval.Decision {
	op := uint8(min(e.Op, policy.OpUnknown))
	header := t.Entries[Key{Op: op}]
	ev := &e.Evidence
	c := combo(ev, header.Needs)
	first := header.First[c]
	var rootID uint32
	if header.Needs&NeedRoot != 0 && Fits(ev.RootHash) {
		if r, ok := t.Entries[digestKey(op, KindRoot, ev.RootHash)]; ok {
			first, rootID = min(first, r.First[c]), r.RootID
		}
	}
	if header.Needs&NeedFile != 0 && Fits(ev.FileDigest) {
		k := digestKey(op, KindFile, ev.FileDigest)
		if f, ok := t.Entries[k]; ok {
			first = min(first, f.First[c])
		}
		if k.Kind, k.RootID = KindBoth, rootID; rootID != 0 {
			if b, ok := t.Entries[k]; ok {
				first = min(first, b.First[c])
			}
		}
	}
	return Decision(first, header.Fallback)
}

// combo is the index into Entry.First: those of the needed facts that are true.
func combo(ev *eval.Evidence, needs uint32) uint32 {
	var c uint32
	if ev.BootVerified {
		c |= ComboBoot
	}
	if ev.RootHashSigned {
		c |= ComboRootSigned
	}
	if ev.FileDigestSigned {
		c |= ComboFileSigned
	}
	return c & needs
}
