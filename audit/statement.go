package audit

import (
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy"
)

// Statement is the line of a policy that decided, as a record repeats it: between
// the quotes of rule="…". The spelling of the policy is lost, and so are comments.
type Statement policy.Statement

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
		st.Scope, st.Op = policy.ScopeRule, s.ruleOp()
		st.Properties = s.properties()
	case s.skip("op="):
		st.Scope, st.Op = policy.ScopeOp, s.ruleOp()
		s.lit(" ")
	default:
		st.Scope = policy.ScopeGlobal
	}
	s.lit("action=")
	st.Action = parsed(s, s.word, "an action", policy.ParseAction)
	return st
}

func (s *scanner) ruleOp() policy.Op {
	return parsed(s, s.word, "an operation", policy.ParseOp)
}

// properties consumes all up to the action.
func (s *scanner) properties() (all []policy.Property) {
	for s.lit(" "); s.err == nil && !s.at("action="); s.lit(" ") {
		all = append(all, s.property())
	}
	return all
}

func (s *scanner) property() (p policy.Property) {
	p.Key = parsed(s, func() string { return s.wordTo('=') }, "a property or an action", policy.ParseKey)
	s.lit("=")
	if p.Key.IsDigest() {
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
