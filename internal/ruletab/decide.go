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
