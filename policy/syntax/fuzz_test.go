package syntax_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// maxSeed leaves the huge texts out, which mutate slowly and to no use.
const maxSeed = 4096

// FuzzParse checks all that the package promises of any text.
func FuzzParse(f *testing.F) {
	for _, c := range conformance.ParseCases() {
		if len(c.Text) <= maxSeed {
			f.Add(c.Text)
		}
	}
	for _, line := range fixable() {
		f.Add([]byte(header + deny + line + "\n"))
	}
	f.Fuzz(checkFile)
}

func TestVectors(t *testing.T) {
	for _, c := range conformance.ParseCases() {
		checkFile(t, c.Text)
	}
}

func checkFile(t *testing.T, text []byte) {
	t.Helper()
	f := syntax.Parse(text)
	checkLossless(t, f, text)
	p, err := policy.Parse(text)
	checkErrors(t, f, err)
	checkFixes(t, f, text)
	if err == nil {
		checkFormat(t, text, p)
	} else if out, ferr := f.Format(); out != nil || ferr.Error() != err.Error() {
		t.Errorf("%.60q: formatted to %q, %v; want %v", text, out, ferr, err)
	}
}

// checkLossless checks that lines give the text back, that tokens leave out blanks only,
// and that all places agree with each other.
func checkLossless(t *testing.T, f *syntax.File, text []byte) {
	t.Helper()
	var all strings.Builder
	n := 0
	for l := range f.Lines() {
		n++
		if l.Start.Line != n || l.Start.Col != 1 || l.Start.Offset != all.Len() || f.Position(all.Len()) != l.Start {
			t.Errorf("%.60q: line %d begins at %v", text, n, l.Start)
		}
		all.WriteString(l.Text + l.End)
		if last := n == f.NumLines(); !slices.Contains([]string{"\n", "\r", "\r\n"}, l.End) && (!last || l.End != "") || last && l.End != "" {
			t.Errorf("%.60q: line %d ends in %q", text, n, l.End)
		}
		checkTokens(t, f, l)
	}
	all.WriteString(f.Ignored().Text)
	if all.String() != string(text) || !bytes.Equal(f.Bytes(), text) || n != f.NumLines() {
		t.Errorf("%.60q: %d lines of %d give back %.60q", text, n, f.NumLines(), all.String())
	}
}

func checkTokens(t *testing.T, f *syntax.File, l syntax.Line) {
	t.Helper()
	at := 0
	for i, tok := range l.Tokens {
		start := tok.Pos.Col - 1
		if tok.Text == "" || start < at || !strings.HasPrefix(l.Text[start:], tok.Text) || f.Position(tok.Pos.Offset) != tok.Pos {
			t.Fatalf("%q: token %q at %v", l.Text, tok.Text, tok.Pos)
		}
		comment := tok.Kind == syntax.TokenComment
		if comment != (tok.Text[0] == '#') || comment && i < len(l.Tokens)-1 {
			t.Errorf("%q: %q is a %v", l.Text, tok.Text, tok.Kind)
		}
		if got, ok := f.TokenAt(tok.Pos.Offset); !ok || got != tok {
			t.Errorf("%q: at %v stands %q, want %q", l.Text, tok.Pos, got.Text, tok.Text)
		}
		checkBlank(t, l.Text[at:start])
		at = start + len(tok.Text)
	}
	checkBlank(t, l.Text[at:])
}

func checkBlank(t *testing.T, gap string) {
	t.Helper()
	for _, c := range []byte(gap) {
		if strings.IndexByte(" \t\v\f\xA0", c) < 0 {
			t.Errorf("no token has %q", gap)
		}
	}
}

// checkErrors checks that the first mistake is that of policy.Parse, that ranges are where
// their tokens stand, and that each line has its own.
func checkErrors(t *testing.T, f *syntax.File, err error) {
	t.Helper()
	all := f.Errors()
	var first *policy.SyntaxError
	if err == nil && all != nil || err != nil && (!errors.As(err, &first) || len(all) == 0 || all[0].SyntaxError != *first) {
		t.Fatalf("Parse says %v, Errors %v", err, all)
	}
	var ofLines []*syntax.Error
	for l := range f.Lines() {
		ofLines = append(ofLines, l.Errors...)
		if l.Kind == syntax.LineUnknown && len(l.Errors) == 0 && len(all) > 0 && all[0].Code != policy.CodeEncoding {
			t.Errorf("%q is of no kind, and no mistake", l.Text)
		}
	}
	text := f.Bytes()
	for i, e := range all {
		start, end := e.Range.Start, e.Range.End
		if start.Line != e.Line || start.Col != e.Col || f.Position(start.Offset) != start || string(text[start.Offset:end.Offset]) != e.Token {
			t.Errorf("%v has the range %v", e, e.Range)
		}
		if e.Token != "" && (i >= len(ofLines) || ofLines[i] != e) || e.Code == "" || e.Err == nil || e.Token == "" && i < len(all)-1 {
			t.Errorf("%v is not among those of its line", e)
		}
	}
}

// checkFixes checks that what is written in place of a mistake ends it, or makes another
// of it; and that no two fixes are in each other's way.
func checkFixes(t *testing.T, f *syntax.File, text []byte) {
	t.Helper()
	at := 0
	for _, e := range f.Errors() {
		if e.Fix == "" {
			continue
		}
		if e.Range.Start.Offset < at {
			t.Errorf("%.60q: %v overlaps another fix", text, e)
		}
		at = e.Range.End.Offset
		mended := syntax.Parse(apply(text, e))
		if slices.ContainsFunc(mended.Errors(), func(other *syntax.Error) bool {
			return other.Range.Start == e.Range.Start && other.Code == e.Code
		}) {
			t.Errorf("%.60q: %v is still there after it was mended to %s", text, e, e.Fix)
		}
	}
}

// apply writes a fix.
func apply(text []byte, e *syntax.Error) []byte {
	return slices.Concat(text[:e.Range.Start.Offset], []byte(e.Fix), text[e.Range.End.Offset:])
}

// checkFormat checks that formatting a valid text changes its looks only.
func checkFormat(t *testing.T, text []byte, p *policy.Policy) {
	t.Helper()
	out, err := syntax.Format(text)
	if bytes.IndexByte(text, 0) >= 0 {
		var e *syntax.Error
		if !errors.As(err, &e) || e.Code != policy.CodeNUL || text[e.Range.Start.Offset] != 0 {
			t.Errorf("%.60q: formatted to %q, %v", text, out, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("format of a valid policy: %v", err)
	}
	if q, err := policy.Parse(out); err != nil || !q.Equal(p) {
		t.Errorf("formatted as %q: parses as %v, %v; want %v", out, q, err, p)
	}
	if twice, err := syntax.Format(out); err != nil || !bytes.Equal(twice, out) {
		t.Errorf("formatted twice: %q, %v; want %q", twice, err, out)
	}
}
