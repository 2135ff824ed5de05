package profile

import (
	"bytes"
	"errors"
	"strings"

	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// Parse reads a profile. The error is a *policy.SyntaxError: the first of Diagnose.
func Parse(text []byte) (*Profile, error) {
	p := parse(text)
	if len(p.found) > 0 {
		return nil, p.found[0]
	}
	return &p.profile, nil
}

// Diagnose returns what is wrong with a text, the first mistake of each line, in its order;
// nothing if Parse takes it. Of what is no text at all, it tells the first mistake alone.
func Diagnose(text []byte) []*policy.SyntaxError { return parse(text).found }

// parser holds a profile in the making.
type parser struct {
	profile Profile
	found   []*policy.SyntaxError
	// begun: the header is behind, right or wrong.
	begun bool
	// seen has the line of each exception, whatever its action.
	seen map[Exception]int
}

func parse(text []byte) *parser {
	p := &parser{profile: Profile{Base: Strict}, seen: map[Exception]int{}}
	if err := unreadable(text); err != nil {
		p.found = append(p.found, err)
		return p
	}
	for l := range lines(string(text)) {
		if len(l.words) > 0 {
			p.line(l)
		}
	}
	if !p.begun {
		err := malformed(policy.CodeNoHeader, "no header: a profile begins with %s", exampleHeader)
		err.Line, err.Col = 1, 1
		p.found = append(p.found, err)
	}
	return p
}

// exampleHeader is what messages show.
const exampleHeader = wordName + "NAME " + wordVersion + "1.0.0 " + wordBase + "strict"

// unreadable says why bytes are no text of which more could be said.
func unreadable(text []byte) *policy.SyntaxError {
	var err *policy.SyntaxError
	switch {
	case bytes.HasPrefix(text, []byte("\xEF\xBB\xBF")):
		err = malformed(policy.CodeEncoding, "the text begins with a UTF-8 byte order mark: save it without one")
		err.Line, err.Col, err.Token = 1, 1, string(text[:3])
	case bytes.HasPrefix(text, []byte("\xFF\xFE")), bytes.HasPrefix(text, []byte("\xFE\xFF")):
		err = malformed(policy.CodeEncoding, "the text is UTF-16: save it as ASCII or UTF-8")
		err.Line, err.Col, err.Token = 1, 1, string(text[:2])
	case len(text) > MaxText:
		err = refuse(policy.ErrRange, codeLimit, "the text has %d bytes, more than %d", len(text), MaxText)
	default:
		return nul(text)
	}
	return err
}

// nul refuses a NUL byte, which would end a policy.
func nul(text []byte) *policy.SyntaxError {
	i := bytes.IndexByte(text, 0)
	if i < 0 {
		return nil
	}
	err := malformed(policy.CodeNUL, "a profile has no NUL byte (UTF-16 text has such bytes: save it as ASCII or UTF-8)")
	err.Token = "\x00"
	for l := range lines(string(text[:i])) {
		err.Line = l.number
	}
	err.Col = i - bytes.LastIndexAny(text[:i], "\r\n")
	return err
}

// line takes a line that has words.
func (p *parser) line(l line) {
	if p.begun {
		p.note(l, p.statement)
		return
	}
	p.begun = true
	p.note(l, p.header)
	if isStatement(l.words[0].text) {
		p.note(l, p.statement) // the header was forgotten
	}
}

// note keeps the mistake that a line has.
func (p *parser) note(l line, take func(line) (word, *policy.SyntaxError)) {
	w, err := take(l)
	if err == nil {
		return
	}
	err.Line, err.Col, err.Token = l.number, w.col, w.text
	p.found = append(p.found, err)
}

// header takes name, version and base. It returns what is wrong, and with which word.
func (p *parser) header(l line) (word, *policy.SyntaxError) {
	takers := []struct {
		key  string
		take func(value string) *policy.SyntaxError
	}{{wordName, p.name}, {wordVersion, p.version}, {wordBase, p.base}}
	for i, t := range takers {
		if i >= len(l.words) {
			return l.last(), malformed(policy.CodeHeader, "no %s behind it on the same line: the first line must be %s", t.key, exampleHeader)
		}
		w := l.words[i]
		value, ok := strings.CutPrefix(w.text, t.key)
		if !ok || value == "" {
			return w, explainHeader(w.text, t.key)
		}
		if err := t.take(value); err != nil {
			return w, err
		}
	}
	if len(l.words) > len(takers) {
		return l.words[len(takers)], malformed(policy.CodeHeader, "a header has a name, a version and a base and nothing else")
	}
	return word{}, nil
}

// explainHeader says what is wrong with a word where key is wanted.
func explainHeader(text, key string) *policy.SyntaxError {
	name := strings.TrimSuffix(key, "=")
	switch {
	case text == key, text == name:
		return malformed(policy.CodeBlank, "no value: %sVALUE is one word, without blanks around =", key)
	case key == wordName && strings.HasPrefix(text, "policy_name="):
		return malformed(policy.CodeHeader, "this is a policy; a profile begins with %s", exampleHeader)
	case strings.ContainsAny(text, `"'`):
		return malformed(policy.CodeHeader, "nothing is quoted, and a name has no blanks; wanted %s here", key)
	case strings.HasPrefix(strings.ToLower(text), key):
		return malformed(policy.CodeHeader, "%s is written in lower case", key)
	}
	return malformed(policy.CodeHeader, "the first line must be %s; wanted %s here", exampleHeader, key)
}

// name takes what could be the name of a directory and is printed as it is.
func (p *parser) name(value string) *policy.SyntaxError {
	switch {
	case len(value) > policy.MaxName:
		return refuse(policy.ErrRange, policy.CodeHeader, "the name has %d bytes, more than %d", len(value), policy.MaxName)
	case value == "." || value == ".." || strings.Contains(value, "/"):
		return malformed(policy.CodeHeader, "the name must be good for a directory: not . or .., and without a slash")
	case plain.Name(value) != value:
		return malformed(policy.CodeHeader, "the name may hold printable characters only, and no quote or backslash")
	}
	p.profile.Name = value
	return nil
}

func (p *parser) version(value string) *policy.SyntaxError {
	v, err := policy.ParseVersion(value)
	var se *policy.SyntaxError
	if errors.As(err, &se) {
		return se
	}
	p.profile.Version = v
	return nil
}

func (p *parser) base(value string) *policy.SyntaxError {
	for _, b := range []Base{Compat, Strict} {
		if value == b.String() {
			p.profile.Base = b
			return nil
		}
	}
	const what = "the base is strict or compat"
	if word := near(value, []string{Compat.String(), Strict.String()}); word != "" {
		return mended(wordBase+word, codeBase, what)
	}
	return malformed(codeBase, what)
}
