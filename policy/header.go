package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// What the tokens of a header begin with.
const (
	wordName    = lex.KeyName + "="
	wordVersion = lex.KeyVersion + "="
)

// header parses the first statement: a name, a version, nothing else. A bad
// version is met before a third token.
func (p *parser) header(t lex.Tokens) error {
	name, _ := t.Next()
	text, ok := headerValue(name, wordName)
	if !ok {
		return p.fail(name, explainHeader(name.Text, wordName))
	}
	p.pol.Name = string(text)
	ver, ok := t.Next()
	if !ok {
		return p.fail(name, refuse(ErrSyntax, CodeVersion, "no version on the same line: write %s1.0.0 behind the name", wordVersion))
	}
	if text, ok = headerValue(ver, wordVersion); !ok {
		return p.fail(ver, explainHeader(ver.Text, wordVersion))
	}
	v, err := version(string(text))
	if err != nil {
		return p.fail(ver, err)
	}
	if more, ok := t.Next(); ok {
		return p.fail(more, refuse(ErrSyntax, CodeHeader, "a header has a name and a version and nothing else"))
	}
	p.pol.Version = v
	p.at, p.head = p.lines.Number, p.lines.Number
	return nil
}

// headerValue returns what follows word, which must be at least one byte.
func headerValue(tok lex.Token, word string) ([]byte, bool) {
	if len(tok.Text) <= len(word) || string(tok.Text[:len(word)]) != word {
		return nil, false
	}
	return tok.Text[len(word):], true
}

// ParseVersion reads MAJOR.MINOR.REV as a policy's header has it: decimal
// numbers up to 65535, leading zeros and one plus sign tolerated. The error is a
// *SyntaxError without position, and in the class that the same text in a
// header would give.
func ParseVersion(text string) (Version, error) {
	v, err := version(text)
	if text == "" {
		err = refuse(ErrSyntax, CodeVersion, "empty")
	}
	if err != nil {
		err.Token = text
		return Version{}, fmt.Errorf("version: %w", err)
	}
	return v, nil
}

// version takes the numbers from the left: a fourth is refused unseen, too few
// only after those present were found good.
func version(text string) (Version, *SyntaxError) {
	var n [3]uint16
	for i, more := 0, true; more; i++ {
		if i == len(n) {
			return Version{}, refuse(ErrSyntax, CodeVersion, "more than three numbers in the version")
		}
		var piece string
		piece, text, more = strings.Cut(text, ".")
		var err *SyntaxError
		if n[i], err = number(piece); err != nil {
			return Version{}, err
		}
		if !more && i < len(n)-1 {
			return Version{}, refuse(ErrSyntax, CodeVersion, "a version has three numbers, like 1.0.0")
		}
	}
	return Version{Major: n[0], Minor: n[1], Rev: n[2]}, nil
}

// number reads one number of a version. Digits beyond 64 bits are out of range
// whatever follows them; below that, a byte that is no digit comes first.
func number(piece string) (uint16, *SyntaxError) {
	digits := strings.TrimPrefix(piece, "+")
	n := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	junk := n >= 0
	if !junk {
		n = len(digits)
	}
	v, err := strconv.ParseUint(digits[:n], 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && !junk && v > 65535:
		return 0, refuse(ErrRange, CodeVersion, "%s is over 65535", lex.Quote(piece))
	case piece == "":
		return 0, refuse(ErrValue, CodeVersion, "a number of the version is empty")
	case err != nil || junk:
		return 0, refuse(ErrValue, CodeVersion, "%s is not a decimal number", lex.Quote(piece))
	}
	return uint16(v), nil
}

// explainHeader says what is wrong with a token where word is wanted.
func explainHeader(tok []byte, word string) *SyntaxError {
	name := strings.TrimSuffix(word, "=")
	switch {
	case string(tok) == word:
		return refuse(ErrSyntax, CodeBlank, "no value (no blank may follow =)")
	case string(tok) == name:
		return refuse(ErrSyntax, CodeBlank, "no value: %sVALUE is one word, without blanks around =", word)
	case bytes.HasPrefix(tok, []byte("\xEF\xBB\xBF")):
		return refuse(ErrSyntax, CodeEncoding, "the text begins with a UTF-8 byte order mark: save it without one")
	case bytes.HasPrefix(tok, []byte("\xFF\xFE")), bytes.HasPrefix(tok, []byte("\xFE\xFF")):
		return refuse(ErrSyntax, CodeEncoding, "the text is UTF-16: save it as ASCII or UTF-8")
	case word == wordVersion && bytes.ContainsAny(tok, "\"'"):
		return refuse(ErrSyntax, CodeHeader, "nothing is quoted, and a name has no blanks; wanted %s here", word)
	case len(tok) >= len(word) && strings.EqualFold(string(tok[:len(word)]), word):
		return refuse(ErrSyntax, CodeHeader, "%s is written in lower case", word)
	}
	return refuse(ErrSyntax, CodeHeader, "the first line must be policy_name=NAME policy_version=1.0.0; wanted %s here", word)
}
