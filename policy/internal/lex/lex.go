// Package lex divides policy texts into lines, and lines into tokens, with exact
// positions. It is the one lexer of the language: packages policy and policy/syntax read
// texts through it, so they cannot disagree about where a word begins.
//
// It knows bytes and no meaning. What it hands out are slices of the text that it was given.
package lex

import "bytes"

// Cut divides a text before its first NUL byte, which ends a policy: a kernel reads a C
// string. The second part is empty if there is no such byte.
func Cut(text []byte) (policy, ignored []byte) {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return text[:i], text[i:]
	}
	return text, nil
}

// Lines hands out the lines of a text. LF and CR each end a line. CRLF is one end, as
// editors have it, which loses an empty line and nothing else.
//
// Behind a CR that ends the text it hands out an empty line. It hands out none behind an LF
// that does.
type Lines struct {
	// Number is that of the line handed out last, from 1.
	Number int
	// Start is where that line begins in the text.
	Start int

	text   []byte
	next   int  // where the next line begins
	stop   int  // where the stretch of lines without an LF ends
	after  int  // behind the LF that ends the stretch
	inside bool // a line of the stretch is still to come
}

// Over returns the lines of a text.
func Over(text []byte) Lines { return Lines{text: text} }

// Next returns the next line without its end; ok is false behind the last. It looks at
// each byte a fixed number of times, whatever ends the lines.
func (l *Lines) Next() (raw []byte, ok bool) {
	if !l.inside {
		if l.after >= len(l.text) {
			return nil, false
		}
		l.stretch()
	}
	l.Start = l.next
	raw = l.text[l.next:l.stop]
	cr := bytes.IndexByte(raw, '\r')
	if l.inside = cr >= 0; l.inside {
		raw, l.next = raw[:cr], l.next+cr+1
	} else {
		l.next = l.after
	}
	l.Number++
	return raw, true
}

// stretch finds the next LF.
func (l *Lines) stretch() {
	start := l.after
	n := bytes.IndexByte(l.text[start:], '\n')
	if n < 0 {
		l.stop, l.after = len(l.text), len(l.text)
		return
	}
	l.stop, l.after = start+n, start+n+1
	if n > 0 && l.text[l.stop-1] == '\r' {
		l.stop--
	}
}

// After returns where the line behind the one handed out last begins: behind its end.
func (l *Lines) After() int { return l.next }

// AtEnd reports whether the line handed out last is the last one.
func (l *Lines) AtEnd() bool { return !l.inside && l.after >= len(l.text) }

// Split parts a line into its statement, without trailing blanks, and its comment, '#'
// included. Either may be empty.
func Split(raw []byte) (stmt, comment []byte) {
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

// Token is a stretch of a line without blanks.
type Token struct {
	Text []byte
	Col  int // its place in the line in bytes, from 1
	Last bool
}

// Tokens walks along the tokens of a statement.
type Tokens struct {
	stmt []byte
	pos  int
}

// Of returns the tokens of a statement that Split returned.
func Of(stmt []byte) Tokens { return Tokens{stmt: stmt} }

// Next returns the next token; ok is false behind the last. A statement has no
// trailing blanks, so the token that ends with it is the last one.
func (t *Tokens) Next() (tok Token, ok bool) {
	start := t.pos
	for start < len(t.stmt) && isSeparator(t.stmt[start]) {
		start++
	}
	end := start
	for end < len(t.stmt) && !isSeparator(t.stmt[end]) {
		end++
	}
	t.pos = end
	return Token{Text: t.stmt[start:end], Col: start + 1, Last: end == len(t.stmt)}, end > start
}

func isSeparator(c byte) bool { return c == ' ' || c == '\t' }
