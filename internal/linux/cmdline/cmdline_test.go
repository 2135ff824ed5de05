package cmdline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/linux/cmdline"
)

func TestParams(t *testing.T) {
	tests := []struct {
		line string
		want []cmdline.Param
	}{
		{"", nil},
		{" \t\n", nil},
		{"quiet a=b  c=\n", []cmdline.Param{{"quiet", "", false}, {"a", "b", true}, {"c", "", true}}},
		{"a=b=c", []cmdline.Param{{"a", "b=c", true}}},
		{"=x y", []cmdline.Param{{"=x", "", false}, {"y", "", false}}},
		{`a="b c" d`, []cmdline.Param{{"a", "b c", true}, {"d", "", false}}},
		{`"a=b c" d`, []cmdline.Param{{"a", "b c", true}, {"d", "", false}}},
		{`"a b" d`, []cmdline.Param{{"a b", "", false}, {"d", "", false}}},
		{`a=x"y z"w d`, []cmdline.Param{{"a", `x"y z"w`, true}, {"d", "", false}}},
		{`a="b c`, []cmdline.Param{{"a", "b c", true}}},
		{`a="`, []cmdline.Param{{"a", "", true}}},
		{`a="x"y`, []cmdline.Param{{"a", `x"y`, true}}},
		{"a\xa0b", []cmdline.Param{{"a", "", false}, {"b", "", false}}},
		{"a -- b", []cmdline.Param{{"a", "", false}}},
		{"a --b --=c", []cmdline.Param{{"a", "", false}, {"--b", "", false}, {"--", "c", true}}},
		{`a "--" b`, []cmdline.Param{{"a", "", false}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, slices.Collect(cmdline.Params(tt.line))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
}

func TestBool(t *testing.T) {
	tests := []struct {
		line     string
		want     string
		problems int
	}{
		{"quiet", "", 0},
		{"ipe.enforce", "true", 0},
		{"ipe.enforce=0", "false", 0},
		{"ipe.enforce=no", "false", 0},
		{"ipe.enforce=Off", "false", 0},
		{"ipe.enforce=ON", "true", 0},
		{"ipe.enforce=1garbage", "true", 0},
		{`ipe.enforce="0"`, "false", 0},
		{`"ipe.enforce=0"`, "false", 0},
		{"ipe.enforce=0 ipe.enforce=1", "true", 0},
		{"ipe.enforce=1 ipe.enforce=0", "false", 0},
		{"ipe.enforce=0 ipe.enforce=maybe", "false", 1},
		{"ipe.enforce=0 ipe.enforce", "true", 0},
		{"ipe.enforce=", "", 1},
		{`ipe.enforce=" 0"`, "", 1},
		{"ipe.enforce=o ipe.enforce=2", "", 2},
		{"root=/dev/vda -- ipe.enforce=0", "", 0},
		{"xipe.enforce=0 ipe.enforced=0 Ipe.enforce=0 enforce=0", "", 0},
	}
	for _, tt := range tests {
		got, problems := cmdline.Bool(tt.line, "ipe.enforce")
		if word(got) != tt.want || len(problems) != tt.problems {
			t.Errorf("%q: %q, %v; want %q and %d problems", tt.line, word(got), problems, tt.want, tt.problems)
		}
		for _, p := range problems {
			if !errors.Is(p, cmdline.ErrValue) {
				t.Errorf("%q: %v is not ErrValue", tt.line, p)
			}
		}
	}
	if got, _ := cmdline.Bool("ipe.success-audit=y", "ipe.success_audit"); word(got) != "true" {
		t.Errorf("with a dash: %q", word(got))
	}
}

func word(b *bool) string {
	switch {
	case b == nil:
		return ""
	case *b:
		return "true"
	}
	return "false"
}

// FuzzParams: every word is part of the line, and the words do not depend on the
// blanks between them.
func FuzzParams(f *testing.F) {
	for _, line := range []string{`a="b c" d`, `"a=b c" d`, "a -- b", `a="`, "\xa0x\xa0=", `""`, `"`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		all := slices.Collect(cmdline.Params(line))
		for _, p := range all {
			if !strings.Contains(line, p.Name) || !strings.Contains(line, p.Value) || p.Value != "" && !p.HasValue {
				t.Fatalf("%q: %+v", line, p)
			}
		}
		if again := slices.Collect(cmdline.Params("\n\t " + line)); !slices.Equal(all, again) {
			t.Fatalf("%q: %v, after blanks %v", line, all, again)
		}
	})
}
