package policy

import (
	"iter"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Scope says which kind of statement decides.
type Scope uint8

// The scopes, from the closest to the widest.
const (
	ScopeRule Scope = iota
	ScopeOp
	ScopeGlobal
)

var scopeNames = [...]string{ScopeRule: "rule", ScopeOp: "operation", ScopeGlobal: "global"}

// String returns rule, operation or global.
func (s Scope) String() string { return nameOf(scopeNames[:], int(s)) }

// MarshalText implements [encoding.TextMarshaler]. It fails for what is no scope.
func (s Scope) MarshalText() ([]byte, error) { return marshal(scopeNames[:], int(s), "scope") }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Scope) UnmarshalText(text []byte) (err error) {
	*s, err = word[Scope](scopeNames[:], string(text), "scope")
	return err
}

// Statement is what a line behind the header says: a rule, the default of an operation or
// the global default.
type Statement struct {
	Scope Scope
	// Op counts in the first two scopes, and is zero in the last; Properties count in the
	// first.
	Op         Op
	Properties []Property
	Action     Action
}

// Statement returns what the rule says. It shares the rule's Properties.
func (r Rule) Statement() Statement {
	return Statement{Scope: ScopeRule, Op: r.Op, Properties: r.Properties, Action: r.Action}
}

// Statements returns all statements of the policy in the order of its canonical form; see
// [Policy.Text].
func (p *Policy) Statements() iter.Seq[Statement] {
	return func(yield func(Statement) bool) {
		if p.Default != NoAction && !yield(Statement{Scope: ScopeGlobal, Action: p.Default}) {
			return
		}
		for _, op := range Ops() {
			if a := p.OpDefault.Of(op); a != NoAction && !yield(Statement{Scope: ScopeOp, Op: op, Action: a}) {
				return
			}
		}
		for i := range p.Rules {
			if !yield(p.Rules[i].Statement()) {
				return
			}
		}
	}
}

// String returns the statement as it stands in a policy, without a line end.
func (s Statement) String() string { return string(s.append(nil)) }

func (s *Statement) append(b []byte) []byte {
	if s.Scope != ScopeRule {
		b = append(b, lex.Default+" "...)
	}
	if s.Scope != ScopeGlobal {
		b = append(append(append(b, lex.KeyOp+"="...), s.Op.String()...), ' ')
	}
	for i := range s.Properties {
		b = append(s.Properties[i].append(b), ' ')
	}
	return append(append(b, lex.KeyAction+"="...), s.Action.String()...)
}
