// Package syntax reads policy texts for programs that show, mend or rewrite them: editors,
// formatters, generators. It loses nothing of a text, and it never gives up.
//
//	file := syntax.Parse(text)
//	for line := range file.Lines() { ... }     // every byte, comments and blanks included
//	for _, mistake := range file.Errors() { ... } // all of them, with ranges and fixes
//
// A [File] has lines. A [Line] has its text, its end, its tokens and its mistakes. A
// [Token] has its kind and its place. The texts and ends of all lines, and behind them
// what a NUL byte cuts off, are the source, byte for byte: [File.Bytes].
//
// What a text means is package policy's to say. [policy.Parse] takes a text exactly if
// [File.Errors] is empty, and otherwise fails with the first of these errors. Kinds of
// lines and tokens say what something is meant to be, right or wrong: "op=EXEC" is an
// operation with a mistake in it, and an editor completes it.
//
// Positions count bytes. [Format] rewrites a valid text in the house style.
//
// Stability: this is version 0. Texts are read as Linux 6.12 reads them, whatever the
// version. Codes of errors stay. New kinds of lines, tokens and errors may come. Messages,
// fixes, and which mistakes behind the first are told, may change without notice.
package syntax

import (
	"bytes"
	"iter"
	"slices"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// File is a policy text, valid or not. It does not change, so many may read it at once.
type File struct {
	text   []byte
	end    int   // where the NUL byte stands that ends the policy, or the text ends
	starts []int // where lines begin
	header int   // the number of the first line with a statement; 0 if there is none
	errors []*Error
}

// Position is a place in a text, in bytes.
type Position struct {
	Offset int // from 0
	Line   int // from 1
	Col    int // from 1
}

// behind returns the position n bytes further in the same line.
func (p Position) behind(n int) Position {
	p.Offset, p.Col = p.Offset+n, p.Col+n
	return p
}

// Range is a stretch of a text, from Start up to what stands before End.
type Range struct{ Start, End Position }

// Parse reads any text. It keeps a copy.
func Parse(text []byte) *File {
	policyText, _ := lex.Cut(text)
	f := &File{text: bytes.Clone(text), end: len(policyText)}
	lines := lex.Over(policyText)
	for raw, ok := lines.Next(); ok; raw, ok = lines.Next() {
		f.starts = append(f.starts, lines.Start)
		if stmt, _ := lex.Split(raw); f.header == 0 && len(stmt) > 0 {
			f.header = lines.Number
		}
	}
	if n := len(policyText); n == 0 || policyText[n-1] == '\n' {
		f.starts = append(f.starts, n) // every place lies in a line, that behind the last LF, too
	}
	for _, e := range policy.Diagnose(text) {
		start := Position{f.starts[e.Line-1], e.Line, 1}.behind(e.Col - 1)
		f.errors = append(f.errors, &Error{SyntaxError: *e, Range: Range{start, start.behind(len(e.Token))}})
	}
	return f
}

// Bytes returns a copy of the text.
func (f *File) Bytes() []byte { return bytes.Clone(f.text) }

// NumLines returns how many lines there are. It is 1 at least: behind a line end at the end
// of the text stands an empty line, as in editors.
func (f *File) NumLines() int { return len(f.starts) }

// Lines returns all lines in their order.
func (f *File) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for n := range f.starts {
			if !yield(f.line(n + 1)) {
				return
			}
		}
	}
}

// Line returns the n-th line, from 1; ok is false if there is none. It is where a
// [policy.Rule] with that Line stands.
func (f *File) Line(n int) (line Line, ok bool) {
	if n < 1 || n > len(f.starts) {
		return Line{}, false
	}
	return f.line(n), true
}

// Ignored returns the first NUL byte and all behind it, which a kernel does not read. Its
// Text is empty if there is no such byte. It counts as part of the last line, whatever line
// ends it has.
func (f *File) Ignored() Token {
	return Token{Kind: TokenIgnored, Text: string(f.text[f.end:]), Pos: f.Position(f.end)}
}

// Errors returns all mistakes of the text in the order of lines; none if policy.Parse takes it.
// The first is what policy.Parse says. A word that only follows from a mistake before it
// is not told. That operations have no default is told last.
func (f *File) Errors() []*Error { return slices.Clone(f.errors) }

// Position returns the place of an offset. One outside of the text is moved to its start or
// its end.
func (f *File) Position(offset int) Position {
	offset = min(max(offset, 0), len(f.text))
	n, found := slices.BinarySearch(f.starts, offset)
	if found {
		n++
	}
	return Position{f.starts[n-1], n, 1}.behind(offset - f.starts[n-1])
}

// TokenAt returns the token at an offset, or else the one that ends there, as a cursor
// behind a word is about the word. Ok is false if there is neither.
func (f *File) TokenAt(offset int) (tok Token, ok bool) {
	if offset < 0 || offset > len(f.text) {
		return Token{}, false
	}
	for _, t := range append(f.line(f.Position(offset).Line).Tokens, f.Ignored()) {
		if start := t.Pos.Offset; t.Text != "" && start <= offset && offset <= start+len(t.Text) {
			tok, ok = t, true
		}
	}
	return tok, ok
}

// Error is one mistake.
type Error struct {
	// SyntaxError is the mistake as package policy tells it: code, message, class, and what
	// to write instead, if that is known.
	policy.SyntaxError
	// Range is what is wrong, and what Fix replaces. It is empty, and stands where a line
	// belongs or at the start, if the policy as a whole is at fault.
	Range Range
}

// Unwrap returns the SyntaxError, so that errors.As finds it, and errors.Is its class.
func (e *Error) Unwrap() error { return &e.SyntaxError }
