package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/policy/lint"
)

const (
	header = "policy_name=p policy_version=0.0.0\n"
	deny   = "DEFAULT action=DENY\n"
)

var (
	good  = "sha256:" + strings.Repeat("ab", 32)
	other = "sha256:" + strings.Repeat("cd", 32)
)

func TestCheck(t *testing.T) {
	const dead = "the rule is never reached: line 3 decides first"
	tests := []struct {
		name, rules string
		want        []string
	}{
		{"nothing", "op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_roothash=" + good + " action=ALLOW", nil},
		{"behind a rule without properties", "op=KMODULE action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\nop=KMODULE boot_verified=TRUE action=ALLOW",
			[]string{"line 5: " + dead}},
		{"duplicate in another order", "op=EXECUTE boot_verified=TRUE fsverity_digest=" + good + " action=ALLOW\nop=EXECUTE fsverity_digest=" + good + " boot_verified=TRUE boot_verified=TRUE action=DENY",
			[]string{"line 4: " + dead}},
		{"narrower than an earlier rule", "op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE boot_verified=TRUE dmverity_signature=FALSE action=DENY",
			[]string{"line 4: " + dead}},
		{"wider or different rules are reached", "op=EXECUTE boot_verified=TRUE dmverity_roothash=" + good + " action=DENY\nop=EXECUTE boot_verified=TRUE dmverity_roothash=" + other + " action=DENY\nop=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE boot_verified=FALSE action=DENY", nil},
		{"contradiction", "op=EXECUTE boot_verified=TRUE boot_verified=FALSE action=ALLOW\nop=EXECUTE fsverity_digest=" + good + " fsverity_digest=" + other + " action=ALLOW",
			[]string{"line 3: the rule never applies: its properties contradict each other", "line 4: the rule never applies: its properties contradict each other"}},
		{"memory", "op=EXECUTE dmverity_signature=FALSE action=ALLOW\nop=EXECUTE action=ALLOW",
			[]string{"line 3: the rule also allows executable memory that belongs to no file", "line 4: the rule also allows executable memory that belongs to no file"}},
		{"digests", "op=EXECUTE dmverity_roothash=SHA256:ab action=ALLOW\nop=EXECUTE dmverity_roothash=frob:ab action=ALLOW\nop=EXECUTE dmverity_roothash=sha256:ab action=ALLOW\nop=EXECUTE fsverity_digest=sha1:ab action=ALLOW",
			[]string{`line 3: dmverity_roothash never matches: the algorithm "SHA256" is written sha256`,
				`line 4: dmverity_roothash never matches: no kernel names an algorithm "frob"`,
				"line 5: dmverity_roothash never matches: sha256 has 32 bytes, the digest has 1",
				"line 6: fsverity_digest never matches: fs-verity has only sha256 and sha512"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := messages(parse(t, header+deny+tt.rules)); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckWholePolicy(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"quotes", `policy_name="p" policy_version=0.0.0` + "\n" + deny, `the quotes in the name "\"p\"" are part of it`},
		{"slash", "policy_name=a/b policy_version=0.0.0\n" + deny, `the name "a/b" cannot be that of a directory: a kernel refuses to load it`},
		{"dots", "policy_name=.. policy_version=0.0.0\n" + deny, `the name ".." cannot be that of a directory: a kernel refuses to load it`},
		{"long", "policy_name=" + strings.Repeat("n", 256) + " policy_version=0.0.0\n" + deny, "the name has 256 bytes: a kernel loads 255 at most"},
		{"seven defaults", sevenDefaults(), "no global default: a kernel with more operations refuses the policy"},
	}
	for _, tt := range tests {
		if got := messages(parse(t, tt.text)); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return p
}

func messages(p *policy.Policy) []string {
	var out []string
	for _, w := range lint.Check(p) {
		out = append(out, w.String())
	}
	return out
}

func sevenDefaults() string {
	text := header
	for _, op := range policy.Ops() {
		text += "DEFAULT op=" + op.String() + " action=DENY\n"
	}
	return text
}
