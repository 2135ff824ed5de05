package policy

import "bytes"

var (
	lf = []byte{'\n'}
	cr = []byte{'\r'}
)

// lexer hands out the lines of a text. LF and CR each end a line; CRLF is
// counted as one end, as editors do, which loses only an empty line.
type lexer struct {
	rest   []byte // behind the stretch
	str    []byte // what is left of the stretch up to the next LF
	inside bool   // a line of the stretch is still to come
	line   int    // number of the line handed out last, from 1
}

// next returns the next line without its end; ok is false behind the last.
// Each byte is looked at a fixed number of times, whatever ends the lines.
func (l *lexer) next() (raw []byte, ok bool) {
	if !l.inside {
		if len(l.rest) == 0 {
			return nil, false
		}
		var ended bool
		if l.str, l.rest, ended = bytes.Cut(l.rest, lf); ended {
			l.str = bytes.TrimSuffix(l.str, cr)
		}
	}
	raw, l.str, l.inside = bytes.Cut(l.str, cr)
	l.line++
	return raw, true
}

// atEnd reports whether the line handed out last is the last of the text.
func (l *lexer) atEnd() bool { return !l.inside && len(l.rest) == 0 }

// split parts a line into its statement, without trailing blanks, and its
// comment, '#' included. Either may be empty.
func split(raw []byte) (stmt, comment []byte) {
	n := len(raw)
	if i := bytes.IndexByte(raw, '#'); i >= 0 {
		n, comment = i, raw[i:]
	}
	for n > 0 && isTrailing(raw[n-1]) {
		n--
	}
	return raw[:n], comment
}

// isTrailing reports whether c is dropped at the end of a statement. Only space
// and HT separate tokens; the others are ordinary characters before the end.
func isTrailing(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\v', '\f', '\r', 0xA0:
		return true
	}
	return false
}

// token is a stretch without blanks, with its place in the line.
type token struct {
	text []byte
	col  int // from 1, in bytes
	last bool
}

// tokens walks along the tokens of a statement.
type tokens struct {
	stmt []byte
	pos  int
}

// next returns the next token; ok is false behind the last. A statement has no
// trailing blanks, so the token that ends with it is the last one.
func (t *tokens) next() (tok token, ok bool) {
	start := t.pos
	for start < len(t.stmt) && isSeparator(t.stmt[start]) {
		start++
	}
	end := start
	for end < len(t.stmt) && !isSeparator(t.stmt[end]) {
		end++
	}
	t.pos = end
	return token{text: t.stmt[start:end], col: start + 1, last: end == len(t.stmt)}, end > start
}

func isSeparator(c byte) bool { return c == ' ' || c == '\t' }
