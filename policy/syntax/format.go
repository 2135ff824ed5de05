package syntax

import (
	"strings"

	"github.com/ipe-linux/ipe/policy"
)

// Format returns src in the house style and with the same meaning: one space
// between tokens, none around lines, lower-case hex digits in digests, LF ends,
// one empty line at most between others. Comments stay, as do the order of lines
// and the spelling of the version. Formatting twice changes nothing more.
//
// The error is an [*Error], that of [policy.Parse]. A text with a NUL byte is refused
// too, since what follows the NUL is no part of the policy and would be lost.
func Format(src []byte) ([]byte, error) { return Parse(src).Format() }

// Format returns the text in the house style; see the function of that name.
func (f *File) Format() ([]byte, error) {
	if len(f.errors) > 0 {
		return nil, f.errors[0]
	}
	if f.end < len(f.text) {
		return nil, f.nulError()
	}
	p := printer{out: make([]byte, 0, len(f.text)+1)}
	for line := range f.Lines() {
		p.line(line)
	}
	return p.out, nil
}

// nulError refuses the NUL byte that ends the policy.
func (f *File) nulError() *Error {
	at := f.Position(f.end)
	return &Error{Range: Range{at, at.behind(1)}, SyntaxError: policy.SyntaxError{
		Line: at.Line, Col: at.Col, Token: "\x00", Err: policy.ErrSyntax, Code: policy.CodeNUL,
		Msg: "a NUL byte ends the policy here, what follows it would be lost",
	}}
}

// printer collects the formatted text.
type printer struct {
	out   []byte
	blank bool // an empty line came before
}

// line writes one line; an empty one only once another follows it.
func (p *printer) line(l Line) {
	if len(l.Tokens) == 0 {
		p.blank = len(p.out) > 0
		return
	}
	if p.blank {
		p.out = append(p.out, '\n')
		p.blank = false
	}
	for i, tok := range l.Tokens {
		if i > 0 {
			p.out = append(p.out, ' ')
		}
		p.out = append(p.out, formatted(tok)...)
	}
	p.out = append(p.out, '\n')
}

// formatted returns a token, the hex digits of a digest in lower case.
func formatted(tok Token) string {
	switch tok.Kind {
	case TokenComment:
		// 0xA0 stays at the end of a comment, where it may be half a UTF-8 letter.
		return strings.TrimRight(tok.Text, " \t\v\f")
	case TokenProperty:
		key, err := policy.ParseKey(tok.Key())
		alg, digits, ok := strings.Cut(tok.Text, ":")
		if err == nil && key.IsDigest() && ok {
			return alg + ":" + strings.ToLower(digits)
		}
	default: // stays as it is
	}
	return tok.Text
}
