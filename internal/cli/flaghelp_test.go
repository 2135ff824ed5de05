package cli_test

import (
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
)

// TestSwitchesAreShownBare: the help of a command does not tell how to negate each switch.
func TestSwitchesAreShownBare(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"status", "--help"}, {"dmverity", "verify", "--help"}, {"fsverity", "sign", "--help"}} {
		_, out, _ := clitest.Run(nil, args...)
		if !strings.Contains(out, "      --json ") || strings.Contains(out, "true|false") || strings.Contains(out, "(default false)") {
			t.Errorf("ipe %v:\n%s", args, out)
		}
	}
}
