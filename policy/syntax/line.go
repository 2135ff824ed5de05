package syntax

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// Line is a line of a text.
type Line struct {
	Kind LineKind
	// Start is where it begins.
	Start Position
	// Text is all of it but its end.
	Text string
	// Tokens are its words in their order, and its comment as the last. Between them, before
	// and behind stand blanks only.
	Tokens []Token
	// End is "\n", "\r" or "\r\n"; it is empty for the last line.
	End string
	// Errors are the mistakes of this line. What concerns the policy as a whole is not
	// among them.
	Errors []*Error
}

// LineKind is what a line is meant to be. It says nothing about mistakes.
type LineKind uint8

// The kinds of lines.
const (
	LineBlank   LineKind = iota // no statement; perhaps a comment
	LineHeader                  // name and version; or the first statement, if it is of no other kind
	LineDefault                 // begins with DEFAULT
	LineRule                    // begins with an operation
	LineUnknown                 // begins with anything else, and so has a mistake
)

var lineKindNames = [...]string{"blank", "header", "default", "rule", "unknown"}

// String returns blank, header, default, rule or unknown.
func (k LineKind) String() string { return nameOf(lineKindNames[:], int(k)) }

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "?"
}

// Token is a word or a comment.
type Token struct {
	Kind TokenKind
	Text string
	Pos  Position
}

// TokenKind is what a token is meant to be, told by its key. It says nothing about mistakes.
type TokenKind uint8

// The kinds of tokens.
const (
	TokenWord     TokenKind = iota // anything that has no kind of its own
	TokenName                      // policy_name=
	TokenVersion                   // policy_version=
	TokenDefault                   // DEFAULT
	TokenOp                        // op=
	TokenProperty                  // a property of the language
	TokenAction                    // action=
	TokenComment                   // # and all behind it, blanks included
	TokenIgnored                   // a NUL byte and all behind it; see File.Ignored
)

var tokenKindNames = [...]string{"word", "name", "version", "default", "op", "property", "action", "comment", "ignored"}

// String returns word, name, version, default, op, property, action, comment or ignored.
func (k TokenKind) String() string { return nameOf(tokenKindNames[:], int(k)) }

// Range returns where the token stands.
func (t Token) Range() Range { return Range{t.Pos, t.Pos.behind(len(t.Text))} }

// Key returns what stands before the first =; the whole token if there is none.
func (t Token) Key() string {
	key, _, _ := strings.Cut(t.Text, "=")
	return key
}

// Value returns what stands behind the first =, and where; ok is false if there is no =.
func (t Token) Value() (value string, pos Position, ok bool) {
	key, value, ok := strings.Cut(t.Text, "=")
	if !ok {
		return "", t.Pos.behind(len(t.Text)), false
	}
	return value, t.Pos.behind(len(key) + 1), true
}

// line reads the n-th line, from 1.
func (f *File) line(n int) Line {
	start, next := f.starts[n-1], f.end
	if n < len(f.starts) {
		next = f.starts[n]
	}
	lines := lex.Over(f.text[start:next])
	raw, _ := lines.Next()
	l := Line{
		Start: Position{start, n, 1}, Text: string(raw), Errors: f.errorsOf(n),
		End: string(f.text[start+len(raw) : next]),
	}
	l.tokens(raw)
	l.Kind = l.kind()
	if l.Kind == LineUnknown && n == f.header {
		l.Kind = LineHeader
	}
	return l
}

// tokens divides the line.
func (l *Line) tokens(raw []byte) {
	stmt, comment := lex.Split(raw)
	words := lex.Of(stmt)
	for w, ok := words.Next(); ok; w, ok = words.Next() {
		l.add(w.Col-1, len(w.Text), kindOf(w.Text))
	}
	if comment != nil {
		l.add(len(raw)-len(comment), len(comment), TokenComment)
	}
}

func (l *Line) add(at, size int, kind TokenKind) {
	l.Tokens = append(l.Tokens, Token{Kind: kind, Text: l.Text[at : at+size], Pos: l.Start.behind(at)})
}

// kindOf tells what a word is meant to be.
func kindOf(word []byte) TokenKind {
	t := Token{Text: string(word)}
	switch key := t.Key(); key {
	case lex.KeyName:
		return TokenName
	case lex.KeyVersion:
		return TokenVersion
	case lex.KeyOp:
		return TokenOp
	case lex.KeyAction:
		return TokenAction
	default:
		if t.Text == lex.Default {
			return TokenDefault
		}
		if _, err := policy.ParseKey(key); err == nil {
			return TokenProperty
		}
		return TokenWord
	}
}

// kind tells what the line is meant to be by its first word.
func (l *Line) kind() LineKind {
	if len(l.Tokens) == 0 {
		return LineBlank
	}
	switch l.Tokens[0].Kind {
	case TokenComment:
		return LineBlank
	case TokenName, TokenVersion:
		return LineHeader
	case TokenDefault:
		return LineDefault
	case TokenOp:
		return LineRule
	default:
		return LineUnknown
	}
}

// errorsOf returns the mistakes of the n-th line. That of the policy as a whole, which has
// no token, is the last of all.
func (f *File) errorsOf(n int) []*Error {
	all := f.errors
	if k := len(all); k > 0 && all[k-1].Token == "" {
		all = all[:k-1]
	}
	byLine := func(e *Error, n int) int { return cmp.Compare(e.Line, n) }
	from, _ := slices.BinarySearchFunc(all, n, byLine)
	to, _ := slices.BinarySearchFunc(all, n+1, byLine)
	return slices.Clip(all[from:to])
}
