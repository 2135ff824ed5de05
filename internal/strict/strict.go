// Package strict names the rules that are judged beside a policy: what becomes of verified
// code after the verdict. The policy's language has no word of them.
package strict

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rule is one of the rules; None is none of them. The numbers are those of the BPF
// programs, which count and record by them.
type Rule uint8

// The rules.
const (
	None Rule = iota
	MapWX
	ProtectWX
	ExecMod
	ProcMem
	Ptrace
	TraceMe
	Userfaultfd
	ExecStack
	Personality

	// Count is one more than the last.
	Count
)

// rules has their names and what each refuses.
var rules = [Count]struct{ name, refuses string }{
	None:        {"none", ""},
	MapWX:       {"map-wx", "a mapping that is writable and executable at once"},
	ProtectWX:   {"protect-wx", "a mapping is made writable and executable at once"},
	ExecMod:     {"execmod", "a private copy of a file's page that was written becomes executable"},
	ProcMem:     {"proc-mem", "the memory of a process is opened for writing in procfs"},
	Ptrace:      {"ptrace", "another process is traced, or its memory or descriptors are taken"},
	TraceMe:     {"traceme", "a process has itself traced, as debuggers start programs"},
	Userfaultfd: {"userfaultfd", "a process fills pages of its mappings itself (userfaultfd)"},
	ExecStack:   {"exec-stack", "a program asks for an executable stack"},
	Personality: {"personality", "what is readable becomes executable (READ_IMPLIES_EXEC)"},
}

// All lists the rules.
func All() []Rule {
	var all []Rule
	for r := None + 1; r < Count; r++ {
		all = append(all, r)
	}
	return all
}

// String is the name, as map-wx.
func (r Rule) String() string {
	if r >= Count {
		return fmt.Sprintf("rule %d", uint8(r))
	}
	return rules[r].name
}

// Refuses says what the rule refuses.
func (r Rule) Refuses() string {
	if r >= Count {
		return ""
	}
	return rules[r].refuses
}

// Kills tells whether the kernel asks no hook where the rule stands, so that nothing can
// be refused: the process is killed.
func (r Rule) Kills() bool { return r == ExecStack || r == Personality }

// Switch says what becomes of what a rule refuses.
type Switch uint8

// The switches.
const (
	// Off: the rule is not looked at.
	Off Switch = iota
	// Monitor: it is told, and happens.
	Monitor
	// Enforce: it is refused while a policy is enforced, and told.
	Enforce

	switches
)

var words = [switches]string{Off: "off", Monitor: "monitor", Enforce: "enforce"}

// String is the word, as monitor.
func (s Switch) String() string {
	if s >= switches {
		return fmt.Sprintf("switch %d", uint8(s))
	}
	return words[s]
}

// Errors of Rules.Set.
var (
	ErrRule   = errors.New("no such rule")
	ErrSwitch = errors.New("not one of off, monitor, enforce")
	ErrForm   = errors.New("not of the form RULE=off|monitor|enforce")
)

// ParseRule finds a rule by its name.
func ParseRule(name string) (Rule, error) {
	for _, r := range All() {
		if r.String() == name {
			return r, nil
		}
	}
	return None, fmt.Errorf("%w: %q is not one of %s", ErrRule, name, strings.Join(names(), ", "))
}

func names() (all []string) {
	for _, r := range All() {
		all = append(all, r.String())
	}
	return all
}

// Rules has a switch for each rule. The zero value has all of them off.
type Rules [Count]Switch

// Enforced has all of them on.
func Enforced() (r Rules) {
	for _, one := range All() {
		r[one] = Enforce
	}
	return r
}

// Any tells whether one of the rules is looked at.
func (r Rules) Any(of ...Rule) bool {
	return slices.ContainsFunc(of, func(one Rule) bool { return r[one] != Off })
}

// Set changes one rule by a text RULE=SWITCH.
func (r *Rules) Set(text string) error {
	name, word, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("%q: %w", text, ErrForm)
	}
	rule, err := ParseRule(name)
	if err != nil {
		return err
	}
	i := slices.Index(words[:], word)
	if i < 0 {
		return fmt.Errorf("%s: %q is %w", rule, word, ErrSwitch)
	}
	r[rule] = Switch(i)
	return nil
}

// Changed says which rules differ from what they are in base, as RULE=SWITCH.
func (r Rules) Changed(base Rules) (texts []string) {
	for _, one := range All() {
		if r[one] != base[one] {
			texts = append(texts, one.String()+"="+r[one].String())
		}
	}
	return texts
}
