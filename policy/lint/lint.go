// Package lint finds what is legal in a policy and likely not meant: rules that no event
// reaches, digests that no file has, allowances that are wider than they look, and what
// other kernels or a live load refuse.
//
// [Check] returns findings in the order of lines. Each has a [Code] for programs, a
// [Severity] and a message for people. A policy without findings can still be wrong: lint
// does not know which files a machine has.
//
// Stability: this is version 0. Codes stay: one keeps its meaning and its severity, and
// its name is given to no other. New codes come, so a program has to expect one that it
// does not know. Messages change without notice.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Finding is something in a valid policy that is likely not meant.
type Finding struct {
	Code     Code
	Severity Severity
	// Line is that of the rule, from 1. It is 0 if the finding is about the whole policy,
	// or about a rule that was not parsed from a text.
	Line int
	// Msg says what is odd, in one line of printable text without the position.
	Msg string
}

// String returns the message, behind the line where there is one.
func (f Finding) String() string {
	if f.Line == 0 {
		return f.Msg
	}
	return fmt.Sprintf("line %d: %s", f.Line, f.Msg)
}

// Check returns what is odd about a valid policy, in the order of lines. It does not change
// the policy. Its time grows with the number of rules, not with its square.
func Check(p *policy.Policy) []Finding {
	l := linter{first: map[condition]int{}}
	l.whole(p)
	for i := range p.Rules {
		l.rule(p.Rules, i)
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return l.found
}

// linter collects findings.
type linter struct {
	found []Finding
	first map[condition]int // index of the first rule with that condition
}

func (l *linter) add(code Code, line int, format string, args ...any) {
	l.found = append(l.found, Finding{Code: code, Severity: code.Severity(), Line: line, Msg: fmt.Sprintf(format, args...)})
}

func (l *linter) whole(p *policy.Policy) {
	switch {
	case strings.ContainsAny(p.Name, `"'`):
		l.add(QuotedName, 0, "the quotes in the name %s are part of it", lex.Quote(p.Name))
	case strings.Contains(p.Name, "/") || p.Name == "." || p.Name == "..":
		l.add(NameOfNoDirectory, 0, "the name %s cannot be that of a directory: a kernel refuses to load it", lex.Quote(p.Name))
	case len(p.Name) > policy.MaxName:
		l.add(LongName, 0, "the name has %d bytes: a kernel loads %d at most", len(p.Name), policy.MaxName)
	}
	if p.Default == policy.NoAction {
		l.add(NoGlobalDefault, 0, "no global default: a kernel with more operations refuses the policy")
	}
}

func (l *linter) rule(rules []policy.Rule, i int) {
	r := &rules[i]
	for _, prop := range r.Properties {
		if code, why := neverMatches(prop); why != "" {
			l.add(code, r.Line, "%s never matches: %s", prop.Key, why)
		}
	}
	cond, consistent := conditionOf(r)
	switch {
	case !consistent:
		l.add(Contradiction, r.Line, "the rule never applies: its properties contradict each other")
		return
	case l.dead(rules, i, cond):
		return
	case r.Op == policy.OpExecute && r.Action == policy.Allow && cond.values == 0 && !hasDigest(cond.keys):
		l.add(AnonymousMemory, r.Line, "the rule also allows executable memory that belongs to no file")
	}
	l.first[cond] = i
}

// dead tells if an earlier rule tests no more than this one does, and so
// decides all that this one would. It looks up each subset of the tests: 32 at most.
func (l *linter) dead(rules []policy.Rule, i int, cond condition) bool {
	earliest := -1
	for sub := cond.keys; ; sub = (sub - 1) & cond.keys {
		if j, ok := l.first[cond.only(sub)]; ok && (earliest < 0 || j < earliest) {
			earliest = j
		}
		if sub == 0 {
			break
		}
	}
	if earliest < 0 {
		return false
	}
	l.add(DeadRule, rules[i].Line, "the rule is never reached: line %d decides first", rules[earliest].Line)
	return true
}
