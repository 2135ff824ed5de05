package eval

import (
	"fmt"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
)

// Trace is how a decision came about.
type Trace struct {
	Event    Event
	Decision Decision
	// NoPolicy: there was no policy, so nothing was evaluated.
	NoPolicy bool
	// Rules are those that were considered: the rules of the event's operation, in
	// order, up to and including the one that matched.
	Rules []RuleTrace
}

// RuleTrace is one rule with what became of its tests.
type RuleTrace struct {
	// Index is that of the rule in Policy.Rules.
	Index int
	Rule  policy.Rule
	// Matched: all tests were true.
	Matched bool
	// Properties has one entry for each of the rule's properties. All are given,
	// though a kernel stops at the first that is false.
	Properties []PropertyTrace
}

// PropertyTrace is one test with the fact that it met.
type PropertyTrace struct {
	Property policy.Property
	Holds    bool
	// Present is what the event had.
	Present Fact
}

// Fact is what is known about a file where a test looks.
type Fact struct {
	// Key is that of the tests.
	Key policy.Key
	// Unavailable: the kernel cannot tell.
	Unavailable bool
	// Value is that of the boolean keys, Digest that of the digest keys, zero without one.
	Value  bool
	Digest digest.Digest
}

// FactOf returns the fact that tests of k look at.
func FactOf(k policy.Key, ev *Evidence) Fact {
	f := Fact{Key: k, Unavailable: k != policy.BootVerified && ev.Unavailable.Has(k)}
	switch {
	case f.Unavailable:
	case k == policy.BootVerified:
		f.Value = ev.BootVerified
	case k == policy.DMVeritySignature:
		f.Value = ev.RootHashSigned
	case k == policy.FSVeritySignature:
		f.Value = ev.FileDigestSigned
	case k == policy.DMVerityRoothash:
		f.Digest = ev.RootHash
	case k == policy.FSVerityDigest:
		f.Digest = ev.FileDigest
	}
	return f
}

// String returns TRUE, FALSE, a digest, "none" without one, or "unavailable".
func (f Fact) String() string {
	switch {
	case f.Unavailable:
		return "unavailable"
	case !f.Key.IsDigest():
		return truth(f.Value)
	case f.Digest.IsZero():
		return "none"
	}
	return f.Digest.String()
}

// Explain decides as Decide does and keeps the reasons.
func Explain(p *policy.Policy, e Event) Trace {
	t := Trace{Event: e, Decision: Decide(p, e), NoPolicy: p == nil}
	if p == nil || !e.Op.Known() {
		return t
	}
	for i := range p.Rules {
		if p.Rules[i].Op != e.Op {
			continue
		}
		t.Rules = append(t.Rules, traceRule(p.Rules[i], i, &e.Evidence))
		if i == t.Decision.Rule {
			break
		}
	}
	return t
}

func traceRule(r policy.Rule, index int, ev *Evidence) RuleTrace {
	t := RuleTrace{Index: index, Rule: r, Matched: matches(&r, ev)}
	for _, prop := range r.Properties {
		t.Properties = append(t.Properties, PropertyTrace{
			Property: prop, Holds: Holds(prop, ev), Present: FactOf(prop.Key, ev),
		})
	}
	return t
}

func truth(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// String returns the trace as lines of text for a person to read. It is not
// meant for programs and may change.
func (t Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s by %s: %s\n", t.Event.Op, t.Event.Hook, t.outcome())
	for i := range t.Rules {
		t.Rules[i].write(&b)
	}
	return b.String()
}

// outcome says in words what was decided by which statement.
func (t Trace) outcome() string {
	d := t.Decision
	switch {
	case t.NoPolicy:
		return "ALLOW, there is no policy"
	case d.Scope == policy.ScopeRule && len(t.Rules) > 0:
		last := t.Rules[len(t.Rules)-1]
		return fmt.Sprintf("%s by rule %d%s", d.Action, d.Rule, last.line())
	}
	return fmt.Sprintf("%s by the %s default, no rule matched", d.Action, d.Scope)
}

// line says where the rule stands, if that is known.
func (r *RuleTrace) line() string {
	if r.Rule.Line == 0 {
		return ""
	}
	return fmt.Sprintf(" (line %d)", r.Rule.Line)
}

func (r *RuleTrace) write(b *strings.Builder) {
	verdict := "does not match"
	if r.Matched {
		verdict = "matches"
	}
	fmt.Fprintf(b, "rule %d%s %s: %s\n", r.Index, r.line(), verdict, r.Rule)
	for _, p := range r.Properties {
		fmt.Fprintf(b, "    %-5t %s, is %s\n", p.Holds, p.Property, p.Present)
	}
}
