package audit

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// Statement is the line of a policy that decided, as a record repeats it: between
// the quotes of rule="…". The spelling of the policy is lost, and so are comments.
type Statement struct {
	// Scope tells rules, defaults of operations and the global default apart.
	Scope eval.Scope
	// Op counts in the first two scopes, Properties in the first.
	Op         policy.Op
	Properties []policy.Property
	Action     policy.Action
}

const (
	scopeRule   = eval.ScopeRule
	scopeOp     = eval.ScopeOp
	scopeGlobal = eval.ScopeGlobal
)

// ErrNoRule means that a decision names a rule that its policy does not have.
var ErrNoRule = errors.New("no such rule")

// StatementOf returns the statement by which p decided d about an event of the
// operation op. Only a decision by a rule looks at p, and shares its Properties with
// it. An error wraps ErrNoRule.
func StatementOf(p *policy.Policy, op policy.Op, d eval.Decision) (Statement, error) {
	if d.Scope != scopeRule {
		return Statement{Scope: d.Scope, Op: opOf(d.Scope, op), Action: d.Action}, nil
	}
	if p == nil || d.Rule < 0 || d.Rule >= len(p.Rules) {
		return Statement{}, fmt.Errorf("statement of rule %d: %w", d.Rule, ErrNoRule)
	}
	r := &p.Rules[d.Rule]
	return Statement{Scope: scopeRule, Op: r.Op, Properties: r.Properties, Action: r.Action}, nil
}

// opOf is the operation of a default: the global one has none, which is the zero Op.
func opOf(scope eval.Scope, op policy.Op) policy.Op {
	if scope == scopeOp {
		return op
	}
	return 0
}

// String returns the statement as it stands between the quotes. The algorithms of
// digests have quotes of their own there.
func (s Statement) String() string { return string(s.append(nil)) }

// ParseStatement reads the text of a statement. The error is a *SyntaxError.
func ParseStatement(text string) (Statement, error) {
	s := scanner{line: text}
	st := s.statement()
	s.end()
	if err := s.failed(); err != nil {
		return Statement{}, fmt.Errorf("parse statement: %w", err)
	}
	return st, nil
}

func (s *scanner) statement() (st Statement) {
	switch {
	case !s.skip("DEFAULT "):
		s.lit("op=")
		st.Scope, st.Op = scopeRule, s.ruleOp()
		st.Properties = s.properties()
	case s.skip("op="):
		st.Scope, st.Op = scopeOp, s.ruleOp()
		s.lit(" ")
	default:
		st.Scope = scopeGlobal
	}
	s.lit("action=")
	st.Action = oneOf(s, "an action", policy.Allow, policy.Deny)
	return st
}

func (s *scanner) ruleOp() policy.Op {
	return oneOf(s, "an operation", 0, policy.Op(policy.NumOps-1))
}

// properties consumes all up to the action.
func (s *scanner) properties() (all []policy.Property) {
	for s.lit(" "); s.err == nil && !s.at("action="); s.lit(" ") {
		all = append(all, s.property())
	}
	return all
}

func (s *scanner) property() (p policy.Property) {
	from := s.pos
	key, ok := named(s.wordTo('='), 0, policy.Key(policy.NumKeys-1))
	if !ok {
		s.missing(from, "a property or an action")
	}
	p.Key = key
	s.lit("=")
	if key.IsDigest() {
		p.Digest = s.digest()
	} else if p.Value = s.skip("TRUE"); !p.Value {
		s.lit("FALSE")
	}
	return p
}

func (s *scanner) digest() digest.Digest {
	alg := s.untrusted()
	s.lit(":")
	return digest.New(alg, []byte(s.digits()))
}
