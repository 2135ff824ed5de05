package policy

import (
	"bytes"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Format returns src in the house style and with the same meaning: one space
// between tokens, none around lines, lower-case hex digits in digests, LF ends,
// one empty line at most between others. Comments stay, as do the order of lines
// and the spelling of the version. Formatting twice changes nothing more.
//
// The error is the *SyntaxError of Parse. A text with a NUL byte is refused
// too, since what follows the NUL is no part of the policy and would be lost.
func Format(src []byte) ([]byte, error) {
	if _, err := Parse(src); err != nil {
		return nil, err
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return nil, nulError(src[:i])
	}
	f := formatter{out: make([]byte, 0, len(src)+1)}
	for lines := lex.Over(src); ; {
		raw, ok := lines.Next()
		if !ok {
			return f.out, nil
		}
		f.line(raw)
	}
}

// nulError refuses the NUL byte that follows text.
func nulError(text []byte) error {
	err := refuse(ErrSyntax, CodeNUL, "a NUL byte ends the policy here, what follows it would be lost")
	lines := lex.Over(append(bytes.Clone(text), 0))
	for raw, ok := lines.Next(); ok; raw, ok = lines.Next() {
		err.Line, err.Col, err.Token = lines.Number, len(raw), "\x00"
	}
	return err
}

// formatter collects the formatted text.
type formatter struct {
	out    []byte
	blank  bool // an empty line came before
	header bool // the header has been written
}

// line writes one line; an empty one only once another follows it.
func (f *formatter) line(raw []byte) {
	stmt, comment := lex.Split(raw)
	if len(stmt) == 0 && comment == nil {
		f.blank = len(f.out) > 0
		return
	}
	if f.blank {
		f.out = append(f.out, '\n')
		f.blank = false
	}
	if len(stmt) > 0 {
		f.statement(stmt)
		if comment != nil {
			f.out = append(f.out, ' ')
		}
	}
	// 0xA0 stays at the end of a comment, where it may be half a UTF-8 letter.
	f.out = append(f.out, bytes.TrimRight(comment, " \t\v\f")...)
	f.out = append(f.out, '\n')
}

// statement writes the tokens of a line.
func (f *formatter) statement(stmt []byte) {
	t := lex.Of(stmt)
	for first := true; ; first = false {
		tok, ok := t.Next()
		if !ok {
			break
		}
		if !first {
			f.out = append(f.out, ' ')
		}
		f.token(tok.Text)
	}
	f.header = true
}

// token writes a token, the hex digits of a digest in lower case. In the header
// nothing is a digest, whatever the name looks like.
func (f *formatter) token(tok []byte) {
	name, value, _ := bytes.Cut(tok, equals)
	if key, ok := lookupKey(name); f.header && ok && key.IsDigest() {
		split := len(tok) - len(value) + bytes.IndexByte(value, ':')
		f.out = append(f.out, tok[:split]...)
		tok = bytes.ToLower(tok[split:])
	}
	f.out = append(f.out, tok...)
}
