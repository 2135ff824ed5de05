package ruletab

import (
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// fallback packs the decision of an operation whose rules do not match.
func fallback(p *policy.Policy, op policy.Op) uint32 {
	action, scope := p.Default, policy.ScopeGlobal
	if a := p.OpDefault.Of(op); a != policy.NoAction {
		action, scope = a, policy.ScopeOp
	}
	if action == policy.NoAction {
		action = policy.Allow // an unknown operation without a global default
	}
	return uint32(action) | uint32(scope)<<8
}

// Decision unpacks what the tables say: the smallest Entry.First of a lookup and
// the header's Fallback.
func Decision(first, fallback uint32) eval.Decision {
	if first == NoMatch {
		return eval.Decision{Action: policy.Action(fallback & 0xff), Scope: policy.Scope(fallback >> 8), Rule: eval.NoRule}
	}
	d := eval.Decision{Action: policy.Allow, Scope: policy.ScopeRule, Rule: int(first / 2)}
	if first&1 != 0 {
		d.Action = policy.Deny
	}
	return d
}

// Event unpacks what the kernel side records: the numbers of operation and hook, and
// which facts were there, as Need bits. Digests are not among them.
func Event(op, hook uint8, present uint32) eval.Event {
	has := func(need uint32) bool { return present&need != 0 }
	return eval.Event{Op: policy.Op(op), Hook: eval.Hook(hook), Evidence: eval.Evidence{
		BootVerified:     has(NeedBoot),
		RootHashSigned:   has(NeedRootSigned),
		FileDigestSigned: has(NeedFileSigned),
	}}
}

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
