package securityfs

import (
	"sync"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// keptPolicies is how many policies stay known for records that come late.
const keptPolicies = 16

// known remembers policies by what the kernel's records call them. A kernel has no
// number for an activation, so a policy's generation is the order in which this
// process first saw it active.
type known struct {
	mu          *sync.Mutex
	policies    map[[32]byte]*indexed
	order       [][32]byte
	generations map[[32]byte]uint64
}

func newKnown() known {
	return known{mu: &sync.Mutex{}, policies: map[[32]byte]*indexed{}, generations: map[[32]byte]uint64{}}
}

func (k *known) add(id [32]byte, p *policy.Policy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.policies[id]; !ok {
		k.order = append(k.order, id)
	}
	k.policies[id] = index(p)
	if len(k.order) > keptPolicies {
		delete(k.policies, k.order[0])
		k.order = k.order[1:]
	}
}

func (k *known) get(id [32]byte) *indexed {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.policies[id]
}

func (k *known) generation(id [32]byte) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	g, ok := k.generations[id]
	if !ok {
		g = uint64(len(k.generations) + 1)
		k.generations[id] = g
	}
	return g
}

// any reports whether a policy was ever seen active.
func (k *known) any() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.generations) > 0
}

// indexed is a policy whose rules are found by the text that a record has of them. A
// record keeps no rule's number, but of two rules that read alike only the first
// ever matches.
type indexed struct {
	policy *policy.Policy
	rules  map[string]int
}

func index(p *policy.Policy) *indexed {
	x := &indexed{policy: p, rules: make(map[string]int, len(p.Rules))}
	for i := range p.Rules {
		if text := audit.Statement(p.Rules[i].Statement()).String(); !x.has(text) {
			x.rules[text] = i
		}
	}
	return x
}

func (x *indexed) has(text string) bool {
	_, ok := x.rules[text]
	return ok
}

// attribute finds the statement that a record repeats, in a decision about op.
func (x *indexed) attribute(op policy.Op, st audit.Statement) (eval.Decision, bool) {
	d := eval.Decision{Action: st.Action, Scope: st.Scope, Rule: eval.NoRule}
	switch {
	case x == nil:
		return d, false
	case st.Scope == policy.ScopeGlobal:
		return d, x.policy.Default == st.Action
	case st.Scope == policy.ScopeOp:
		return d, x.policy.OpDefault.Of(op) == st.Action
	}
	i, ok := x.rules[st.String()]
	if ok {
		d.Rule = i
	}
	return d, ok
}

// reconstruct makes a policy without a name of the one statement that is known.
func reconstruct(st audit.Statement) (*policy.Policy, eval.Decision) {
	d := eval.Decision{Action: st.Action, Scope: st.Scope, Rule: eval.NoRule}
	p := &policy.Policy{}
	if st.Scope == policy.ScopeRule {
		d.Rule = 0
		p.Rules = []policy.Rule{{Op: st.Op, Properties: st.Properties, Action: st.Action}}
	}
	return p, d
}
