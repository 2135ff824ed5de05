package cli_test

import (
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// TestEveryCommandHelps: each command has a one-line description and help that
// goes to standard output.
func TestEveryCommandHelps(t *testing.T) {
	for _, line := range []string{"", "policy", "policy check", "policy fmt", "policy explain", "policy sign", "policy verify",
		"policy show", "policy load", "policy activate", "policy update", "policy delete", "policy list",
		"mode", "status", "doctor", "events", "version"} {
		args := append(strings.Fields(line), "--help")
		code, stdout, stderr := clitest.Run(nil, args...)
		if code != ui.ExitOK || stderr != "" || !strings.Contains(stdout, "Usage:\n  ipe "+line) {
			t.Errorf("ipe %s: exit code %d, stdout %.80q, stderr %q", strings.Join(args, " "), code, stdout, stderr)
		}
	}
}
