package lex_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

func TestLines(t *testing.T) {
	for text, want := range map[string][]string{
		"":           nil,
		"a":          {`1 0 "a"`},
		"a\n":        {`1 0 "a"`},
		"a\r":        {`1 0 "a"`, `2 2 ""`},
		"a\r\n":      {`1 0 "a"`},
		"a\r\r\nb":   {`1 0 "a"`, `2 2 ""`, `3 4 "b"`},
		"a\n\rb\n\n": {`1 0 "a"`, `2 2 ""`, `3 3 "b"`, `4 5 ""`},
		"\r\n\n\r":   {`1 0 ""`, `2 2 ""`, `3 3 ""`, `4 4 ""`},
	} {
		var got []string
		lines := lex.Over([]byte(text))
		for raw, ok := lines.Next(); ok; raw, ok = lines.Next() {
			got = append(got, fmt.Sprintf("%d %d %q", lines.Number, lines.Start, raw))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestTokens(t *testing.T) {
	stmt, comment := lex.Split([]byte(" \ta=b  c\vd \t\xA0\v# e "))
	if string(stmt) != " \ta=b  c\vd" || string(comment) != "# e " {
		t.Fatalf("%q, %q", stmt, comment)
	}
	var got []string
	toks := lex.Of(stmt)
	for tok, ok := toks.Next(); ok; tok, ok = toks.Next() {
		got = append(got, fmt.Sprintf("%d %q %t", tok.Col, tok.Text, tok.Last))
	}
	if diff := cmp.Diff([]string{`3 "a=b" false`, `8 "c\vd" true`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestQuote(t *testing.T) {
	if got := lex.Quote("a\x1b\n"); got != `"a\x1b\n"` {
		t.Error(got)
	}
	if got := lex.Quote(strings.Repeat("x", 40000)); len(got) > 100 || !strings.HasSuffix(got, "(40000 bytes)") {
		t.Error(got)
	}
}

// FuzzLines checks that lines, tokens and positions leave nothing out of a text: what
// stands between is an end of a line or a blank.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "a b#c\r\nd \xA0\n", "\r\r\n\n\ra", "a\x00b\n", "\v a\v"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, all []byte) {
		text, ignored := lex.Cut(all)
		if !bytes.Equal(append(bytes.Clone(text), ignored...), all) || bytes.IndexByte(text, 0) >= 0 {
			t.Fatalf("cut into %q and %q", text, ignored)
		}
		lines, at := lex.Over(text), 0
		for raw, ok := lines.Next(); ok; raw, ok = lines.Next() {
			if lines.Start != at || !bytes.HasPrefix(text[at:], raw) {
				t.Fatalf("line %d is %q at %d, want it at %d", lines.Number, raw, lines.Start, at)
			}
			switch end := string(text[at+len(raw) : lines.After()]); {
			case end == "\n", end == "\r", end == "\r\n", end == "" && lines.AtEnd():
			default:
				t.Errorf("line %d ends in %q", lines.Number, end)
			}
			at = lines.After()
			checkLine(t, raw)
		}
		if at != len(text) || !lines.AtEnd() {
			t.Errorf("the lines end at %d of %d", at, len(text))
		}
	})
}

func checkLine(t *testing.T, raw []byte) {
	t.Helper()
	stmt, comment := lex.Split(raw)
	gap := raw[len(stmt) : len(raw)-len(comment)]
	if !bytes.HasPrefix(raw, stmt) || !bytes.HasSuffix(raw, comment) || !consists(gap, " \t\v\f\xA0") {
		t.Errorf("%q is split into %q, %q and %q", raw, stmt, gap, comment)
	}
	at, last := 0, len(stmt) == 0
	toks := lex.Of(stmt)
	for tok, ok := toks.Next(); ok; tok, ok = toks.Next() {
		if !consists(stmt[at:tok.Col-1], " \t") || !bytes.HasPrefix(stmt[tok.Col-1:], tok.Text) || last {
			t.Errorf("%q: token %q at column %d", raw, tok.Text, tok.Col)
		}
		at, last = tok.Col-1+len(tok.Text), tok.Last
	}
	if at != len(stmt) || !last {
		t.Errorf("%q: the tokens end at %d", raw, at)
	}
}

// consists reports whether text has only bytes of that kind.
func consists(text []byte, of string) bool {
	for _, c := range text {
		if strings.IndexByte(of, c) < 0 {
			return false
		}
	}
	return true
}
