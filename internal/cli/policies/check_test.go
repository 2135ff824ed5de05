package policies_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// TestCheckConforms puts every vector to the command and compares errno.
func TestCheckConforms(t *testing.T) {
	for _, c := range conformance.ParseCases() {
		code, stdout, stderr := clitest.Run(c.Text, "policy", "check", "--boot", "--json", "-")
		var got map[string]any
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("case %s: %v in %q", c.ID, err, stdout)
		}
		if len(got) != 13 {
			t.Errorf("case %s: %d keys, want 13: %s", c.ID, len(got), stdout)
		}
		want := strings.TrimPrefix(c.Want, "OK")
		if want == "" && len(c.Text) >= api.MaxBoot {
			want = "ENOMEM" // a good text, and too long for every kernel
		}
		valid := want == ""
		if got["name"] != string([]rune(c.Name)) || got["version"] != c.Version {
			t.Errorf("case %s: %s; want name %q, version %q", c.ID, stdout, c.Name, c.Version)
		}
		if got["errno"] != want || got["valid"] != valid || (code == ui.ExitOK) != valid || stderr != "" {
			t.Errorf("case %s: exit code %d, %.200s%s; want errno %q", c.ID, code, stdout, stderr, want)
		}
	}
}

// TestCaret: the mark stands below the token whatever surrounds it.
func TestCaret(t *testing.T) {
	const head = "policy_name=p policy_version=1.0.0\n"
	tests := []struct {
		name, line, src, marks string
	}{
		{"tab and letters beyond ASCII", "\top=EXECUTE fsverity_digest=é:ab oops action=DENY",
			"    \top=EXECUTE fsverity_digest=é:ab oops action=DENY", "    \t" + strings.Repeat(" ", 32) + "^~~~"},
		{"escape sequence", "op=EXECUTE \x1b[2Joops action=DENY",
			"    op=EXECUTE ?[2Joops action=DENY", "               ^~~~~~~~"},
		{"far to the right", "op=EXECUTE" + strings.Repeat(" ", 200) + "oops action=DENY",
			"    ..." + strings.Repeat(" ", 80) + "oops action=DENY", "    " + strings.Repeat(" ", 83) + "^~~~"},
		{"endless token", "op=EXECUTE " + strings.Repeat("x", 5000) + " action=DENY",
			"    op=EXECUTE " + strings.Repeat("x", 80) + "...", "               ^" + strings.Repeat("~", 79)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := clitest.Run([]byte(head+tt.line+"\n"), "policy", "check", "-")
			lines := strings.Split(stderr, "\n")
			if code != ui.ExitRefused || len(lines) < 3 || lines[1] != tt.src || lines[2] != tt.marks {
				t.Errorf("exit code %d, got\n%s\nwant\n%s\n%s", code, stderr, tt.src, tt.marks)
			}
		})
	}
}
