package syntax_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

const (
	header = "policy_name=p policy_version=0.0.0\n"
	deny   = "DEFAULT action=DENY\n"
)

const full = "policy_name=appliance policy_version=1.2.3\n" +
	"DEFAULT action=DENY\n" +
	"DEFAULT op=KMODULE action=ALLOW\n" +
	"op=EXECUTE boot_verified=TRUE action=ALLOW\n" +
	"op=KMODULE dmverity_signature=FALSE dmverity_roothash=sha256:cd2c action=DENY\n" +
	"op=EXECUTE fsverity_signature=TRUE fsverity_digest=sha512: action=ALLOW\n"

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return p
}

// dump shows all of a file: a line for each line, with its tokens.
func dump(f *syntax.File) (all []string) {
	for l := range f.Lines() {
		s := fmt.Sprintf("%d@%d %v", l.Start.Line, l.Start.Offset, l.Kind)
		for _, tok := range l.Tokens {
			s += fmt.Sprintf(" %d:%v(%s)", tok.Pos.Col, tok.Kind, tok.Text)
		}
		for _, e := range l.Errors {
			s += " !" + string(e.Code)
		}
		all = append(all, s+fmt.Sprintf(" %q", l.End))
	}
	if tok := f.Ignored(); tok.Text != "" {
		all = append(all, fmt.Sprintf("%v %q at %d:%d", tok.Kind, tok.Text, tok.Pos.Line, tok.Pos.Col))
	}
	return all
}

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"nothing": {"", []string{`1@0 blank ""`}},
		"all kinds": {"# c \r\n" + header + "\rDEFAULT\top=POLICY action=DENY#d\nop=EXECUTE boot_verified=TRUE  action=ALLOW", []string{
			`1@0 blank 1:comment(# c ) "\r\n"`,
			`2@6 header 1:name(policy_name=p) 15:version(policy_version=0.0.0) "\n"`,
			`3@41 blank "\r"`,
			`4@42 default 1:default(DEFAULT) 9:op(op=POLICY) 19:action(action=DENY) 30:comment(#d) "\n"`,
			`5@74 rule 1:op(op=EXECUTE) 12:property(boot_verified=TRUE) 32:action(action=ALLOW) ""`,
		}},
		"mistakes": {header + deny + "op=EXEC boot_verified = action=ALLOW\nlet it=be\n" + header, []string{
			`1@0 header 1:name(policy_name=p) 15:version(policy_version=0.0.0) "\n"`,
			`2@35 default 1:default(DEFAULT) 9:action(action=DENY) "\n"`,
			`3@55 rule 1:op(op=EXEC) 9:property(boot_verified) 23:word(=) 25:action(action=ALLOW) !operation "\n"`,
			`4@92 unknown 1:word(let) 5:word(it=be) !statement "\n"`,
			`5@102 header 1:name(policy_name=p) 15:version(policy_version=0.0.0) !second-header "\n"`,
			`6@137 blank ""`,
		}},
		"no header": {"\nwhat is this\r" + deny, []string{
			`1@0 blank "\n"`,
			`2@1 header 1:word(what) 6:word(is) 9:word(this) !header "\r"`,
			`3@14 default 1:default(DEFAULT) 9:action(action=DENY) "\n"`,
			`4@34 blank ""`,
		}},
		"NUL": {header + deny + "# a\x00b\nc", []string{
			`1@0 header 1:name(policy_name=p) 15:version(policy_version=0.0.0) "\n"`,
			`2@35 default 1:default(DEFAULT) 9:action(action=DENY) "\n"`,
			`3@55 blank 1:comment(# a) ""`,
			`ignored "\x00b\nc" at 3:4`,
		}},
		"NUL behind a line end": {"\r\x00", []string{`1@0 blank "\r"`, `2@1 blank ""`, `ignored "\x00" at 2:1`}},
	} {
		f := syntax.Parse([]byte(tt.text))
		if diff := cmp.Diff(tt.want, dump(f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		checkFile(t, []byte(tt.text))
	}
}

// TestErrors: each mistake has its class, its range and its fix, and is found as others are.
func TestErrors(t *testing.T) {
	f := syntax.Parse([]byte(header + "op=exec action=ALLOW\nop=EXECUTE fsverity_digest=a:x action=ALLOW\n"))
	var got []string
	for _, e := range f.Errors() {
		got = append(got, fmt.Sprintf("%d-%d %s %q", e.Range.Start.Offset, e.Range.End.Offset, e.Code, e.Fix))
	}
	want := []string{`35-42 operation "op=EXECUTE"`, `67-86 digest ""`, `0-0 no-default ""`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var err error = f.Errors()[1]
	var as *policy.SyntaxError
	if !errors.As(err, &as) || as.Line != 3 || as.Col != 12 || !errors.Is(err, policy.ErrValue) || err.Error() != as.Error() {
		t.Errorf("%v is found as %v", err, as)
	}
	clear(f.Errors())
	if len(f.Errors()) != 3 || f.Errors()[2] == nil {
		t.Error("a caller emptied the list")
	}
}

func TestTokenAt(t *testing.T) {
	f := syntax.Parse([]byte(header + "\r\nop=EXECUTE  boot_verified=TRUE action=ALLOW#c\n\x00z"))
	for offset, want := range map[int]string{
		-1: "", 0: "policy_name=p", 13: "policy_name=p", 14: "policy_version=0.0.0", 35: "", 36: "", 37: "op=EXECUTE", 47: "op=EXECUTE",
		48: "", 49: "boot_verified=TRUE", 79: "action=ALLOW", 80: "#c", 82: "#c", 83: "\x00z", 85: "\x00z", 86: "",
	} {
		if tok, ok := f.TokenAt(offset); tok.Text != want || ok != (want != "") {
			t.Errorf("at %d stands %q, want %q", offset, tok.Text, want)
		}
	}
}

func TestPosition(t *testing.T) {
	f := syntax.Parse([]byte("a\r\nb\n"))
	for offset, want := range map[int]syntax.Position{
		-1: {0, 1, 1}, 0: {0, 1, 1}, 2: {2, 1, 3}, 3: {3, 2, 1}, 5: {5, 3, 1}, 9: {5, 3, 1},
	} {
		if got := f.Position(offset); got != want {
			t.Errorf("%d is at %v, want %v", offset, got, want)
		}
	}
	for _, n := range []int{0, 4} {
		if l, ok := f.Line(n); ok {
			t.Errorf("there is a line %d: %+v", n, l)
		}
	}
	if l, ok := f.Line(2); !ok || l.Text != "b" || f.NumLines() != 3 {
		t.Errorf("line 2 of %d is %+v", f.NumLines(), l)
	}
}

func TestTokenParts(t *testing.T) {
	pos := syntax.Position{Offset: 10, Line: 2, Col: 3}
	for text, want := range map[string]string{"op=EXECUTE": "op 13 EXECUTE true", "a=b=c": "a 12 b=c true", "a=": "a 12  true", "DEFAULT": "DEFAULT 17  false"} {
		tok := syntax.Token{Text: text, Pos: pos}
		value, at, ok := tok.Value()
		if got := fmt.Sprintf("%s %d %s %t", tok.Key(), at.Offset, value, ok); got != want || at.Line != 2 || at.Col != at.Offset-7 {
			t.Errorf("%s is %s at %v, want %s", text, got, at, want)
		}
		if r := tok.Range(); r.Start != pos || r.End.Offset != 10+len(text) || r.End.Col != 3+len(text) || r.End.Line != 2 {
			t.Errorf("%s has the range %v", text, r)
		}
	}
	if syntax.TokenKind(99).String() != "?" || syntax.LineKind(99).String() != "?" {
		t.Error("what is no kind has a name")
	}
}

// TestParseKeepsNothingOfItsInput also gives its own away.
func TestParseKeepsNothingOfItsInput(t *testing.T) {
	text := []byte(header + deny)
	f := syntax.Parse(text)
	clear(text)
	clear(f.Bytes())
	if got := string(f.Bytes()); got != header+deny {
		t.Errorf("the source became %q", got)
	}
}

func BenchmarkParse(b *testing.B) {
	text := manyRules()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		syntax.Parse(text)
	}
}

func BenchmarkFormat(b *testing.B) {
	text := manyRules()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := syntax.Format(text); err != nil {
			b.Fatal(err)
		}
	}
}

func manyRules() []byte {
	var s strings.Builder
	s.WriteString(header + deny)
	for i := range 10000 {
		fmt.Fprintf(&s, "op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW\n", i)
	}
	return []byte(s.String())
}
