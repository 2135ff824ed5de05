package eval

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/policy"
)

// ErrNoRule means that a decision names a rule that its policy does not have.
var ErrNoRule = errors.New("no such rule")

// StatementOf returns the statement by which p made the decision d about an event of the
// operation op. Only a decision by a rule looks at p, and shares its Properties with it.
// An error wraps ErrNoRule.
func StatementOf(p *policy.Policy, op policy.Op, d Decision) (policy.Statement, error) {
	switch {
	case d.Scope == policy.ScopeGlobal:
		return policy.Statement{Scope: d.Scope, Action: d.Action}, nil
	case d.Scope == policy.ScopeOp:
		return policy.Statement{Scope: d.Scope, Op: op, Action: d.Action}, nil
	case p == nil || d.Rule < 0 || d.Rule >= len(p.Rules):
		return policy.Statement{}, fmt.Errorf("statement of rule %d: %w", d.Rule, ErrNoRule)
	}
	return p.Rules[d.Rule].Statement(), nil
}
