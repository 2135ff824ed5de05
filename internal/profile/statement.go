package profile

import (
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// isStatement tells whether a line with that first word is meant as an exception.
func isStatement(text string) bool {
	return text == wordAnonExec || strings.HasPrefix(text, wordRule)
}

// statement takes a line behind the header. It returns what is wrong, and with which word.
func (p *parser) statement(l line) (word, *policy.SyntaxError) {
	first := l.words[0]
	s := statement{line: l, at: map[string]word{}}
	s.Line = l.number
	if err := s.what(first.text, p.profile.Base); err != nil {
		return first, err
	}
	for i, w := range l.words[1:] {
		if err := s.word(w, i == len(l.words)-2); err != nil {
			return w, err
		}
	}
	if w, err := s.whole(); err != nil {
		return w, err
	}
	return first, p.add(s.Exception)
}

// add keeps an exception.
func (p *parser) add(e Exception) *policy.SyntaxError {
	key := Exception{Rule: e.Rule, Identity: e.Identity}
	if before, ok := p.seen[key]; ok {
		return malformed(codeDuplicate, "line %d excepts the same executable from the same already", before)
	}
	p.seen[key] = e.Line
	p.profile.Exceptions = append(p.profile.Exceptions, e)
	return nil
}

// statement is an exception in the making.
type statement struct {
	Exception
	line line
	// at are the words by their keys, those of what the identity is made of and the action.
	at map[string]word
	// before is the key of the word before the present one.
	before string
}

// what takes the first word.
func (s *statement) what(text string, base Base) *policy.SyntaxError {
	if text == wordAnonExec {
		return nil
	}
	name, ok := strings.CutPrefix(text, wordRule)
	if !ok {
		return explainStatement(text)
	}
	if name == "" {
		return malformed(policy.CodeBlank, "no rule (no blank may follow =)")
	}
	rule, err := strict.ParseRule(name)
	switch {
	case err != nil:
		return explainRule(name)
	case base == Compat:
		return malformed(codeRule, "with base=compat no rule is on, so there is nothing to except from: write base=strict, or leave the line out")
	}
	s.Rule = rule
	return nil
}

func explainRule(name string) *policy.SyntaxError {
	var names []string
	for _, r := range strict.All() {
		names = append(names, r.String())
	}
	if n := near(name, names); n != "" {
		return mended(wordRule+n, codeRule, "unknown rule")
	}
	return malformed(codeRule, "unknown rule: there are %s", strings.Join(names, ", "))
}

// explainStatement says why a line cannot begin with a word.
func explainStatement(text string) *policy.SyntaxError {
	key, _, hasValue := strings.Cut(text, "=")
	switch word := key + "="; {
	case slices.Contains([]string{wordName, wordVersion, wordBase}, word):
		return malformed(policy.CodeSecondHeader, "a second header: the header is the first line, and one line")
	case key == "op" || key == "DEFAULT" || key == "policy_name":
		return malformed(policy.CodeStatement, "that belongs into a policy; a profile has rule= and anon_exec")
	case text+"=" == wordRule:
		return malformed(policy.CodeBlank, "no rule (rule=NAME is one word, without blanks around =)")
	case key == wordAnonExec:
		return mended(wordAnonExec, policy.CodeStatement, "anon_exec is a word of its own, without =")
	case isProperty(key) || word == wordAction:
		return malformed(policy.CodeStatement, "begin with rule=NAME or anon_exec: what the executable is excepted from")
	case near(key, []string{wordAnonExec}) != "" && !hasValue:
		return mended(wordAnonExec, policy.CodeStatement, "unknown statement")
	}
	return malformed(policy.CodeStatement, "unknown statement: a line begins with rule= or anon_exec")
}

// word takes a word behind the first.
func (s *statement) word(w word, last bool) *policy.SyntaxError {
	key, value, hasValue := strings.Cut(w.text, "=")
	if !hasValue || key == "" || !isProperty(key) && key+"=" != wordAction {
		return s.explainWord(w.text, key)
	}
	if _, twice := s.at[key]; twice {
		return malformed(policy.CodeProperty, "a second %s=: write one line for each executable", key)
	}
	if reason := refusedKeys[key]; reason != "" {
		return malformed(codeIdentity, "%s: name the file by %s, or by %s with %s", reason, keyFile, keyRoot, wordPath)
	}
	s.at[key], s.before = w, key
	if key+"=" == wordAction {
		return s.action(value, last)
	}
	return s.identity(key, value)
}

// explainWord says why a word is nothing of an exception.
func (s *statement) explainWord(text, key string) *policy.SyntaxError {
	switch {
	case s.before+"=" == wordPath && !strings.Contains(text, "="):
		return malformed(codePath, "a path has no blanks, and nothing is quoted: name that file by %s", keyFile)
	case text == key && (isProperty(key) || key+"=" == wordAction):
		return malformed(policy.CodeBlank, "no value (%s=VALUE is one word, without blanks around =)", key)
	case key == "":
		return malformed(policy.CodeBlank, "no blanks may stand around =")
	case text == `\`:
		return malformed(policy.CodeSeparator, "a line cannot be continued: write the exception on one line")
	case isStatement(text):
		return malformed(policy.CodeStatement, "one line is one exception: write another for this")
	}
	known := []string{keyFile, keyRoot, strings.TrimSuffix(wordPath, "="), strings.TrimSuffix(wordAction, "=")}
	if n := near(key, known); n != "" && text != key {
		return mended(n+text[len(key):], policy.CodeProperty, "unknown property")
	}
	return malformed(policy.CodeProperty, "unknown property: there are %s", strings.Join(known, ", "))
}

// action takes the last word of a rule's exception.
func (s *statement) action(value string, last bool) *policy.SyntaxError {
	const there = "an exception has action=off or action=monitor"
	switch {
	case s.Rule == strict.None:
		return malformed(policy.CodeAction, "anon_exec has no action: it allows, and nothing else")
	case !last:
		return malformed(policy.CodeActionPlace, "the action must be the last word of its line")
	case value == strict.Off.String():
		s.Action = strict.Off
	case value == strict.Monitor.String():
		s.Action = strict.Monitor
	case value == strict.Enforce.String():
		return malformed(policy.CodeAction, "an exception takes away and cannot add: whatever is not excepted is enforced; %s", there)
	case value == "":
		return malformed(policy.CodeBlank, "no action (no blank may follow =)")
	default:
		if n := near(value, []string{strict.Off.String(), strict.Monitor.String()}); n != "" {
			return mended(wordAction+n, policy.CodeAction, "unknown action")
		}
		return malformed(policy.CodeAction, "unknown action: %s", there)
	}
	return nil
}

// whole checks what the words say together.
func (s *statement) whole() (word, *policy.SyntaxError) {
	path, hasPath := s.at[strings.TrimSuffix(wordPath, "=")]
	if hasPath && s.line.glued && path == s.line.last() {
		return path, malformed(codePath, "# begins a comment, and no path holds one: put a blank before a comment, or name the file by %s", keyFile)
	}
	if w, err := s.named(); err != nil {
		return w, err
	}
	if _, ok := s.at[strings.TrimSuffix(wordAction, "=")]; !ok && s.Rule != strict.None {
		return s.line.last(), malformed(policy.CodeNoAction, "an exception from a rule must end with action=off or action=monitor")
	}
	return word{}, nil
}
