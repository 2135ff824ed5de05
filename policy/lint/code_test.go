package lint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/policy/lint"
)

// examples provoke each finding, and nothing else: a policy for each kind.
func examples() map[lint.Code]string {
	const rule = header + deny + "op=EXECUTE "
	return map[lint.Code]string{
		lint.QuotedName:        "policy_name='p' policy_version=0.0.0\n" + deny,
		lint.NameOfNoDirectory: "policy_name=a/b policy_version=0.0.0\n" + deny,
		lint.LongName:          "policy_name=" + strings.Repeat("n", 256) + " policy_version=0.0.0\n" + deny,
		lint.NoGlobalDefault:   sevenDefaults(),
		lint.AlgorithmCase:     rule + "dmverity_roothash=" + strings.ToUpper(good) + " action=ALLOW\n",
		lint.UnknownAlgorithm:  rule + "dmverity_roothash=frob:ab action=ALLOW\n",
		lint.FSVerityAlgorithm: rule + "fsverity_digest=sha1:" + strings.Repeat("ab", 20) + " action=ALLOW\n",
		lint.DigestSize:        rule + "fsverity_digest=sha256:ab action=ALLOW\n",
		lint.Contradiction:     rule + "boot_verified=TRUE boot_verified=FALSE action=ALLOW\n",
		lint.DeadRule:          header + deny + "op=POLICY action=DENY\nop=POLICY boot_verified=TRUE action=ALLOW\n",
		lint.AnonymousMemory:   rule + "dmverity_signature=FALSE action=ALLOW\n",
	}
}

func TestEachCodeIsProvoked(t *testing.T) {
	all := examples()
	for _, code := range lint.Codes() {
		text, ok := all[code]
		if !ok {
			t.Errorf("no example provokes %s", code)
			continue
		}
		found := lint.Check(parse(t, text))
		if len(found) != 1 || found[0].Code != code || found[0].Severity != code.Severity() || found[0].Msg == "" {
			t.Errorf("%s: %+v", code, found)
		}
	}
	if len(all) != len(lint.Codes()) {
		t.Errorf("%d examples of %d codes", len(all), len(lint.Codes()))
	}
}

// TestCodesAreDocumented compares the constants in the source with the list, and wants a
// comment above each. What a program may have stored is never renamed: the list is here again.
func TestCodesAreDocumented(t *testing.T) {
	src, err := os.ReadFile("code.go")
	if err != nil {
		t.Fatal(err)
	}
	var documented, listed []string
	for _, m := range regexp.MustCompile(`(?m)^\t// (\w+): .*\n(?:\t// .*\n)*\t(\w+) +Code = "(.*)"$`).FindAllStringSubmatch(string(src), -1) {
		if m[1] == m[2] {
			documented = append(documented, m[3])
		}
	}
	for _, code := range lint.Codes() {
		listed = append(listed, string(code))
	}
	if diff := cmp.Diff(listed, documented); diff != "" {
		t.Errorf("(-listed +documented):\n%s", diff)
	}
	want := "quoted-name name-of-no-directory long-name no-global-default algorithm-case unknown-algorithm " +
		"fsverity-algorithm digest-size contradiction dead-rule anonymous-memory"
	if diff := cmp.Diff(strings.Fields(want), listed); diff != "" {
		t.Errorf("(-want +listed):\n%s", diff)
	}
}

func TestSeverity(t *testing.T) {
	for s, want := range map[lint.Severity]string{lint.Info: "info", lint.Warning: "warning", lint.Error: "error"} {
		text, err := json.Marshal(s)
		if err != nil || string(text) != `"`+want+`"` || s.String() != want {
			t.Errorf("%v: %s, %v", s, text, err)
		}
		var again lint.Severity
		if err := json.Unmarshal(text, &again); err != nil || again != s {
			t.Errorf("%s is read as %v, %v", text, again, err)
		}
	}
	kept := lint.Error
	if err := kept.UnmarshalText([]byte("ERROR")); err == nil || kept != lint.Error {
		t.Errorf("ERROR is read as %v, %v", kept, err)
	}
	if text, err := lint.Severity(3).MarshalText(); err == nil || fmt.Sprint(lint.Severity(3)) != "?" {
		t.Errorf("%s, %v", text, err)
	}
	if lint.Error <= lint.Warning || lint.Warning <= lint.Info || lint.Code("from the future").Severity() != lint.Warning {
		t.Error("severities are not in order")
	}
}
