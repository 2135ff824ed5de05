package policy

import (
	"slices"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Text returns the policy in its one canonical form: the header, the global
// default, the defaults of operations, the rules in their order; one space
// between tokens, lower-case hex, LF ends. Parsing it gives an equal policy if
// p came from Parse; the language cannot quote, so a policy made otherwise may
// hold names that no text can express.
func (p *Policy) Text() []byte {
	b := append([]byte(wordName), p.Name...)
	b = append(b, ' ')
	b = append(b, wordVersion...)
	b = append(b, p.Version.String()...)
	b = append(b, '\n')
	for st := range p.Statements() {
		b = append(st.append(b), '\n')
	}
	return b
}

// String returns Text as a string.
func (p *Policy) String() string { return string(p.Text()) }

// String returns the rule as it stands in a policy, without a line end.
func (r Rule) String() string { return r.Statement().String() }

// String returns key=value as it stands in a rule.
func (p Property) String() string { return string(p.append(nil)) }

func (p *Property) append(b []byte) []byte {
	b = append(append(b, p.Key.String()...), '=')
	if p.Key.IsDigest() {
		return append(b, p.Digest.String()...)
	}
	if p.Value {
		return append(b, lex.True...)
	}
	return append(b, lex.False...)
}

// Equal reports whether both policies say the same, word for word; only the
// lines of rules are not compared. Two nil policies are equal.
func (p *Policy) Equal(q *Policy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.Name == q.Name && p.Version == q.Version && p.Default == q.Default &&
		p.OpDefault == q.OpDefault && slices.EqualFunc(p.Rules, q.Rules, sameRule)
}

func sameRule(a, b Rule) bool {
	return a.Op == b.Op && a.Action == b.Action && slices.Equal(a.Properties, b.Properties)
}
