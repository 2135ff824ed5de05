package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Warning is something in a valid policy that is likely not meant.
type Warning struct {
	// Line is that of the rule, 0 if the warning is about the whole policy.
	Line int
	Msg  string
}

// String returns the message, behind the line where there is one.
func (w Warning) String() string {
	if w.Line == 0 {
		return w.Msg
	}
	return fmt.Sprintf("line %d: %s", w.Line, w.Msg)
}

// Lint returns what is odd about a valid policy, in order of lines: rules that
// no event reaches, rules and digests that nothing can match, allowances that
// are wider than they look, and what other kernels or a live load would refuse.
func Lint(p *Policy) []Warning {
	l := linter{first: map[condition]int{}}
	l.policy(p)
	for i := range p.Rules {
		l.rule(p.Rules, i)
	}
	slices.SortStableFunc(l.found, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	return l.found
}

// linter collects warnings.
type linter struct {
	found []Warning
	first map[condition]int // index of the first rule with that condition
}

func (l *linter) warn(line int, format string, args ...any) {
	l.found = append(l.found, Warning{Line: line, Msg: fmt.Sprintf(format, args...)})
}

// maxName is the longest file name; a loaded policy is a directory.
const maxName = 255

func (l *linter) policy(p *Policy) {
	switch {
	case strings.ContainsAny(p.Name, `"'`):
		l.warn(0, "the quotes in the name %s are part of it", lex.Quote(p.Name))
	case strings.Contains(p.Name, "/") || p.Name == "." || p.Name == "..":
		l.warn(0, "the name %s cannot be that of a directory: a kernel refuses to load it", lex.Quote(p.Name))
	case len(p.Name) > maxName:
		l.warn(0, "the name has %d bytes: a kernel loads %d at most", len(p.Name), maxName)
	}
	if p.Default == NoAction {
		l.warn(0, "no global default: a kernel with more operations refuses the policy")
	}
}

func (l *linter) rule(rules []Rule, i int) {
	r := &rules[i]
	for _, prop := range r.Properties {
		if why := neverMatches(prop); why != "" {
			l.warn(r.Line, "%s never matches: %s", prop.Key, why)
		}
	}
	cond, consistent := conditionOf(r)
	switch {
	case !consistent:
		l.warn(r.Line, "the rule never applies: its properties contradict each other")
		return
	case l.dead(rules, i, cond):
		return
	case r.Op == OpExecute && r.Action == Allow && cond.values == 0 && !cond.keys.hasDigest():
		l.warn(r.Line, "the rule also allows executable memory that belongs to no file")
	}
	l.first[cond] = i
}

// dead warns if an earlier rule tests no more than this one does, and so
// decides all that this one would. It looks up each subset of the tests: 32 at most.
func (l *linter) dead(rules []Rule, i int, cond condition) bool {
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
	l.warn(rules[i].Line, "the rule is never reached: %s decides first", rules[earliest].place())
	return true
}

// condition is what a rule tests, without order and repetition.
type condition struct {
	op             Op
	keys           KeySet // what is tested
	values         KeySet // the booleans that must be TRUE
	root, fileHash digest.Digest
}

// conditionOf returns what r tests; ok is false if that can never be true, as
// one key is wanted to have two values.
func conditionOf(r *Rule) (c condition, ok bool) {
	c.op, ok = r.Op, true
	for _, prop := range r.Properties {
		before, seen := c, c.keys.Has(prop.Key)
		c.set(prop)
		ok = ok && (!seen || c == before)
	}
	return c, ok
}

func (c *condition) set(p Property) {
	bit := Keys(p.Key)
	c.keys |= bit
	c.values &^= bit
	switch {
	case p.Key == DMVerityRoothash:
		c.root = p.Digest
	case p.Key == FSVerityDigest:
		c.fileHash = p.Digest
	case p.Value:
		c.values |= bit
	}
}

// only returns the condition restricted to the given keys.
func (c condition) only(keys KeySet) condition {
	c.keys = keys
	c.values &= keys
	if !keys.Has(DMVerityRoothash) {
		c.root = digest.Digest{}
	}
	if !keys.Has(FSVerityDigest) {
		c.fileHash = digest.Digest{}
	}
	return c
}

func (s KeySet) hasDigest() bool { return s.Has(DMVerityRoothash) || s.Has(FSVerityDigest) }

// neverMatches says why no file has the digest that p asks for, if so.
func neverMatches(p Property) string {
	if !p.Key.IsDigest() {
		return ""
	}
	alg := p.Digest.Algorithm()
	size, known := digest.AlgorithmSize(alg)
	_, lower := digest.AlgorithmSize(strings.ToLower(alg))
	switch {
	case !known && lower:
		return fmt.Sprintf("the algorithm %s is written %s", lex.Quote(alg), strings.ToLower(alg))
	case !known:
		return fmt.Sprintf("no kernel names an algorithm %s", lex.Quote(alg))
	case p.Key == FSVerityDigest && alg != "sha256" && alg != "sha512":
		return "fs-verity has only sha256 and sha512"
	case p.Digest.Size() != size:
		return fmt.Sprintf("%s has %d bytes, the digest has %d", alg, size, p.Digest.Size())
	}
	return ""
}
