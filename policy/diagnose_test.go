package policy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/policy"
)

func TestDiagnose(t *testing.T) {
	const head = "policy_name=p policy_version=1.0.0\n"
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"valid":   {head + deny, nil},
		"nothing": {"# only\n", []string{"1:1 no-header"}},
		"three lines": {head + deny + "op=EXEC action=ALLOW\nop=EXECUTE boot_verified=yes action=ALLOW\nop=EXECUTE\n",
			[]string{"3:1 operation -> op=EXECUTE", "4:12 value", "5:1 no-action"}},
		"all in one line": {head + deny + "op=exec boot_verified=true dmverity=TRUE action=allow\n",
			[]string{"3:1 operation -> op=EXECUTE", "3:9 value -> boot_verified=TRUE", "3:28 property", "3:42 action -> action=ALLOW"}},
		"blanks around =":   {head + deny + "op=EXECUTE boot_verified = TRUE action=ALLOW\n", []string{"3:12 blank"}},
		"prose":             {head + deny + "let there be light=on\nop=EXECUTE action=DENI\n", []string{"3:1 statement", "4:12 action"}},
		"no header":         {deny + "op=EXECUTE action=NO\n", []string{"1:1 header", "2:12 action"}},
		"bad header":        {"policy_name=p policy_version=1.0\nop=EXECUTE action=NO\n", []string{"1:15 version", "2:12 action", "1:1 no-default"}},
		"no default":        {head + "op=EXECUTE action=NO\n", []string{"2:12 action", "1:1 no-default"}},
		"refused default":   {head + "DEFAULT action=NO\n", []string{"2:9 action"}},
		"misspelt default":  {head + "default action=DENY\n", []string{"2:1 operation -> DEFAULT"}},
		"refused op":        {head + "DEFAULT op=EXEC action=DENY\n", []string{"2:9 operation -> op=EXECUTE"}},
		"second default":    {head + deny + deny, []string{"3:9 second-default"}},
		"UTF-16":            {"\xff\xfep\x00o\x00\n\x00", []string{"1:1 encoding"}},
		"second header":     {head + head + deny, []string{"2:1 second-header"}},
		"continued":         {head + deny + "op=EXECUTE \\\n action=ALLOW\n", []string{"3:12 separator", "4:2 no-operation"}},
		"digest":            {head + deny + "op=EXECUTE fsverity_digest=sha256:0x00 fsverity_digest=ab action=ALLOW\n", []string{"3:12 digest", "3:40 digest"}},
		"default with test": {head + deny + "DEFAULT op=POLICY boot_verified=TRUE action=DENY\n", []string{"3:38 default-property"}},
	} {
		var got []string
		for _, e := range policy.Diagnose([]byte(tt.text)) {
			line := fmt.Sprintf("%d:%d %s", e.Line, e.Col, e.Code)
			if e.Fix != "" {
				line += " -> " + e.Fix
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDiagnoseAsParse: over all vectors, the first mistake is that of Parse, and each has
// its kind.
func TestDiagnoseAsParse(t *testing.T) {
	for _, c := range conformance.ParseCases() {
		checkDiagnosis(t, c.Text)
	}
}

func FuzzDiagnose(f *testing.F) {
	for _, c := range conformance.ParseCases() {
		if len(c.Text) <= maxSeed {
			f.Add(c.Text)
		}
	}
	f.Fuzz(checkDiagnosis)
}

func checkDiagnosis(t *testing.T, text []byte) {
	t.Helper()
	_, err := policy.Parse(text)
	all := policy.Diagnose(text)
	if err == nil {
		if len(all) > 0 {
			t.Errorf("%.60q: taken, and diagnosed %v", text, all[0])
		}
		return
	}
	first := new(policy.SyntaxError)
	if !errors.As(err, &first) || len(all) == 0 || *all[0] != *first {
		t.Fatalf("%.60q: Parse says %v, Diagnose %v", text, err, all)
	}
	line := 0
	for i, e := range all {
		checkError(t, cutNUL(text), e)
		if e.Code == "" || i < len(all)-1 && e.Line < line {
			t.Errorf("%.60q: %v has the code %q, behind line %d", text, e, e.Code, line)
		}
		if line = e.Line; e.Fix != "" && e.Token == "" {
			t.Errorf("%.60q: %q in place of nothing", text, e.Fix)
		}
	}
}
