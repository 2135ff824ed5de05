package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/policy"
)

const (
	header = "policy_name=p policy_version=0.0.0\n"
	deny   = "DEFAULT action=DENY\n"
)

// lines splits a text as an editor does.
func lines(text []byte) []string {
	s := strings.ReplaceAll(string(text), "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(s, "\r", "\n"), "\n")
}

// checkError checks that err is a SyntaxError of one class whose position lies
// inside the text and is that of its token.
func checkError(t *testing.T, text []byte, err error) {
	t.Helper()
	var se *policy.SyntaxError
	if !errors.As(err, &se) {
		t.Fatalf("%T is no *SyntaxError", err)
	}
	if se.Err != policy.ErrSyntax && se.Err != policy.ErrValue && se.Err != policy.ErrRange {
		t.Errorf("class %v is none of the three", se.Err)
	}
	all := lines(text)
	if se.Line < 1 || se.Line > len(all) || se.Col < 1 || se.Col > len(all[se.Line-1])+1 {
		t.Fatalf("%v: position lies outside the text", se)
	}
	if !strings.HasPrefix(all[se.Line-1][se.Col-1:], se.Token) {
		t.Errorf("%v: the token is not at the position", se)
	}
	if se.Msg == "" || strings.ContainsAny(se.Error(), "\n\r\x00") {
		t.Errorf("%q is not one line of text", se.Error())
	}
}

func TestErrorPosition(t *testing.T) {
	tests := []struct {
		name, text string
		want       policy.SyntaxError
	}{
		{"token", header + "# c\n  op=EXECUTE  foo action=DENY\n",
			policy.SyntaxError{Line: 3, Col: 15, Token: "foo", Err: policy.ErrSyntax}},
		{"CRLF is one line end", "\r\n" + header + "\r\nop=execute action=DENY\r\n",
			policy.SyntaxError{Line: 4, Col: 1, Token: "op=execute", Err: policy.ErrSyntax}},
		{"CR is a line end", "\r\r" + header + "\top=EXECUTE\r",
			policy.SyntaxError{Line: 4, Col: 2, Token: "op=EXECUTE", Err: policy.ErrSyntax}},
		{"columns are bytes", header + "op=EXECUTE fsverity_digest=\xC3\xA4:ab x action=ALLOW",
			policy.SyntaxError{Line: 2, Col: 34, Token: "x", Err: policy.ErrSyntax}},
		{"version", "policy_name=p policy_version=1.x.0\n",
			policy.SyntaxError{Line: 1, Col: 15, Token: "policy_version=1.x.0", Err: policy.ErrValue}},
		{"version range", "policy_name=p policy_version=1.65536.0\n",
			policy.SyntaxError{Line: 1, Col: 15, Token: "policy_version=1.65536.0", Err: policy.ErrRange}},
		{"digest", header + "op=EXECUTE dmverity_roothash=sha256:abc action=ALLOW",
			policy.SyntaxError{Line: 2, Col: 12, Token: "dmverity_roothash=sha256:abc", Err: policy.ErrValue}},
		{"empty", "", policy.SyntaxError{Line: 1, Col: 1, Err: policy.ErrSyntax}},
		{"no header", "# c\n\n# d\n", policy.SyntaxError{Line: 1, Col: 1, Err: policy.ErrSyntax}},
		{"no version", "policy_name=p\n",
			policy.SyntaxError{Line: 1, Col: 1, Token: "policy_name=p", Err: policy.ErrSyntax}},
		{"defaults missing", header + "op=EXECUTE action=ALLOW # c\n\n",
			policy.SyntaxError{Line: 1, Col: 1, Err: policy.ErrSyntax}},
		{"second default", header + deny + deny,
			policy.SyntaxError{Line: 3, Col: 9, Token: "action=DENY", Err: policy.ErrSyntax}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Parse([]byte(tt.text))
			var got *policy.SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("error is %v, want a SyntaxError", err)
			}
			checkError(t, []byte(tt.text), err)
			tt.want.Msg, tt.want.Code, tt.want.Fix = got.Msg, got.Code, got.Fix
			if *got != tt.want {
				t.Errorf("%+v, want %+v", *got, tt.want)
			}
		})
	}
}

// TestErrorHint checks that a usual mistake is answered by what to write.
func TestErrorHint(t *testing.T) {
	tests := []struct{ text, want string }{
		{header + deny + "op=execute action=ALLOW", "write op=EXECUTE"},
		{header + deny + `op="EXECUTE" action=ALLOW`, "write op=EXECUTE"},
		{header + deny + "op=KERNEL_MODULE action=ALLOW", "op=KMODULE"},
		{header + deny + "op=READ action=ALLOW", "there are EXECUTE, FIRMWARE, KMODULE"},
		{header + deny + "op = EXECUTE action=ALLOW", "without blanks around ="},
		{header + deny + "default action=ALLOW", "write DEFAULT"},
		{header + deny + "boot_verified=TRUE action=ALLOW", "begin with op="},
		{header + deny + "action=ALLOW op=EXECUTE", "the action must be the last"},
		{header + deny + "action=ALLOW", "write op=EXECUTE action=ALLOW"},
		{header + header + deny, "a second header"},
		{header + deny + "op=EXECUTE boot_verified=true action=ALLOW", "write boot_verified=TRUE"},
		{header + deny + `op=EXECUTE boot_verified="TRUE" action=ALLOW`, "write boot_verified=TRUE"},
		{header + deny + "op=EXECUTE boot_verified=1 action=ALLOW", "TRUE or FALSE"},
		{header + deny + "op=EXECUTE boot_verified = TRUE action=ALLOW", "without blanks around ="},
		{header + deny + "op=EXECUTE ima_sig=TRUE action=ALLOW", "there are boot_verified, dmverity_roothash"},
		{header + deny + "op=EXECUTE op=KMODULE action=ALLOW", "one line for each"},
		{header + deny + "op=EXECUTE \\\naction=ALLOW", "cannot be continued"},
		{header + deny + "op=EXECUTE \\ action=ALLOW", "cannot be continued"},
		{header + deny + "op=EXECUTE action=allow", "write action=ALLOW"},
		{header + deny + "op=EXECUTE action=AUDIT", "action=ALLOW and action=DENY"},
		{header + deny + "op=EXECUTE dmverity_roothash=abcd action=ALLOW", "no colon"},
		{header + deny + "op=EXECUTE dmverity_roothash=a:0xab action=ALLOW", "without 0x"},
		{header + deny + "op=EXECUTE dmverity_roothash=a:abz action=ALLOW", `"z" at digit 3`},
		{header + deny + "op=EXECUTE dmverity_roothash=a:abc action=ALLOW", "3 hex digits, an odd number"},
		{header + deny + "DEFAULT op=EXECUTE boot_verified=TRUE action=DENY", "takes no property"},
		{header + deny + "op=EXECUTE action=ALLOW; op=KMODULE action=ALLOW", "without ;"},
		{header + deny + "op=EXECUTE", "must end with action="},
		{`policy_name="a b" policy_version=0.0.0`, "nothing is quoted"},
		{"p\x00o\x00l\x00", "UTF-16"},
		{header + deny + deny, "a global default already"},
		{header + deny + "op=EXECUTE action=ALL\x00OW", "a NUL byte ends the policy here"},
		{header + "DEFAULT op=KMODULE action=DENY\n", "no default for EXECUTE, FIRMWARE, KEXEC_IMAGE"},
		{"\xEF\xBB\xBF" + header + deny, "byte order mark"},
		{"\xFF\xFEp\x00o\x00", "UTF-16"},
		{"Policy_Name=p policy_version=0.0.0\n" + deny, "lower case"},
		{"policy_name = p policy_version=0.0.0\n" + deny, "without blanks around ="},
		{"policy_name=p policy_version=1.0\n" + deny, "three numbers"},
		{"policy_name=p policy_version=1.0.70000\n" + deny, "over 65535"},
		{"policy_name=p\npolicy_version=1.0.0\n" + deny, "on the same line"},
	}
	var se *policy.SyntaxError
	if _, err := policy.Parse([]byte(header + "DEFAULT op=KMODULE action=DENY\nop=EXECUTE action=ALLOW\n")); !errors.As(err, &se) || se.Line != 1 || se.Col != 1 || se.Token != "" {
		t.Errorf("what the policy as a whole lacks is no rule's fault: %v", err)
	}
	for _, tt := range tests {
		_, err := policy.Parse([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error is %v, want it to say %q", tt.text, err, tt.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := policy.Parse([]byte(header + deny + "DEFAULT    op=execute action=ALLOW\n"))
	want := `line 3, column 12: "op=execute": unknown operation: write op=EXECUTE`
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	long := strings.Repeat("x", 40000)
	if _, err = policy.Parse([]byte(long)); err == nil || len(err.Error()) > 300 {
		t.Errorf("error about a token of 40000 bytes: %v", err)
	}
}

func TestParseVersion(t *testing.T) {
	tests := []struct {
		text string
		want policy.Version
		err  error
	}{
		{"1.2.3", policy.Version{Major: 1, Minor: 2, Rev: 3}, nil},
		{"+1.007.65535", policy.Version{Major: 1, Minor: 7, Rev: 65535}, nil},
		{"", policy.Version{}, policy.ErrSyntax},
		{"1.2", policy.Version{}, policy.ErrSyntax},
		{"1.2.3.4", policy.Version{}, policy.ErrSyntax},
		{"1.2.", policy.Version{}, policy.ErrValue},
		{"1.2.3 ", policy.Version{}, policy.ErrValue},
		{"1.2.65536", policy.Version{}, policy.ErrRange},
		{"1.2.99999999999999999999x", policy.Version{}, policy.ErrRange},
	}
	for _, tt := range tests {
		got, err := policy.ParseVersion(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %v, %v; want %v, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	order := []policy.Version{{}, {Rev: 65535}, {Minor: 1}, {Minor: 2, Rev: 1}, {Minor: 10}, {Major: 1}, {Major: 1, Rev: 1}}
	for i, v := range order {
		for j, w := range order {
			if got, want := v.Compare(w), cmpInt(i, j); got != want {
				t.Errorf("%v against %v: %d, want %d", v, w, got, want)
			}
		}
	}
}

func cmpInt(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}
