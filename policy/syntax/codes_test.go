package syntax_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// mistakes provoke each kind of mistake: a text for each.
func mistakes() map[policy.Code]string {
	const rule = header + deny + "op=EXECUTE "
	return map[policy.Code]string{
		policy.CodeNoHeader:        "# only\n",
		policy.CodeHeader:          "name=p\n",
		policy.CodeVersion:         "policy_name=p policy_version=1\n",
		policy.CodeSecondHeader:    header + header,
		policy.CodeEncoding:        "\xEF\xBB\xBF" + header,
		policy.CodeStatement:       header + "let it be\n",
		policy.CodeOperation:       header + "op=READ action=DENY\n",
		policy.CodeNoOperation:     header + "action=DENY\n",
		policy.CodeOperationPlace:  rule + "op=POLICY action=DENY\n",
		policy.CodeProperty:        rule + "ima=TRUE action=DENY\n",
		policy.CodeValue:           rule + "boot_verified=1 action=DENY\n",
		policy.CodeDigest:          rule + "fsverity_digest=ab action=DENY\n",
		policy.CodeBlank:           rule + "boot_verified =TRUE action=DENY\n",
		policy.CodeSeparator:       rule + "\\\n",
		policy.CodeAction:          rule + "action=deny\n",
		policy.CodeNoAction:        header + "op=EXECUTE\n",
		policy.CodeActionPlace:     rule + "action=DENY boot_verified=TRUE\n",
		policy.CodeDefaultPlace:    rule + "DEFAULT action=DENY\n",
		policy.CodeDefaultProperty: header + "DEFAULT op=EXECUTE boot_verified=TRUE action=DENY\n",
		policy.CodeSecondDefault:   header + deny + deny,
		policy.CodeNoDefault:       header,
	}
}

// elsewhere are the kinds that no text gives Errors: of Format, and of words alone.
func elsewhere() []policy.Code { return []policy.Code{policy.CodeNUL, policy.CodeWord} }

func TestEachCodeIsProvoked(t *testing.T) {
	all := mistakes()
	for code, text := range all {
		found := syntax.Parse([]byte(text)).Errors()
		if len(found) == 0 || found[0].Code != code {
			t.Errorf("%q gives %v, want %s", text, found, code)
		}
	}
	src, err := os.ReadFile("../code.go")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`(?m)^\tCode\w+ +Code = "(.*)" +// `).FindAllSubmatch(src, -1)
	for _, m := range known {
		code := policy.Code(m[1])
		if _, ok := all[code]; !ok && !slices.Contains(elsewhere(), code) {
			t.Errorf("no text provokes %s", code)
		}
	}
	if want := len(all) + len(elsewhere()); len(known) != want {
		t.Errorf("%d codes have a comment, want %d", len(known), want)
	}
}

// fixable are lines with one mistake that has a fix.
func fixable() []string {
	return []string{
		"op=execute action=ALLOW", "op=KERNEL_MODULE action=ALLOW", "op=EXECUTE boot_verified=true action=ALLOW",
		`op=EXECUTE "boot_verified=TRUE" action=ALLOW`, "op=EXECUTE action=ALLOW;", "default op=POLICY action=DENY",
	}
}

// TestFixes: such a text is taken once the fix is written.
func TestFixes(t *testing.T) {
	for _, line := range fixable() {
		text := []byte(header + deny + line + "\n")
		all := syntax.Parse(text).Errors()
		if len(all) != 1 || all[0].Fix == "" {
			t.Errorf("%s: %v", line, all)
			continue
		}
		if _, err := policy.Parse(apply(text, all[0])); err != nil {
			t.Errorf("%s, mended to %s: %v", line, all[0].Fix, err)
		}
	}
}
