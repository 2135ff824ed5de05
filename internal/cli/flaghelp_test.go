package cli_test

import (
	"strings"
	"testing"
)

// TestSwitchesAreShownBare: the help of a command does not tell how to negate each switch.
func TestSwitchesAreShownBare(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"status", "--help"}, {"dmverity", "verify", "--help"}, {"fsverity", "sign", "--help"}} {
		_, out, _ := ipe(nil, args...)
		if !strings.Contains(out, "      --json ") || strings.Contains(out, "true|false") || strings.Contains(out, "(default false)") {
			t.Errorf("ipe %v:\n%s", args, out)
		}
	}
}
