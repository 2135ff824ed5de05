package cli_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

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

// TestValuesHaveNames: help calls the value of a flag by what it is, and not by its type in
// this program; the marks for that are not shown where shells complete.
func TestValuesHaveNames(t *testing.T) {
	seen := 0
	for _, c := range leaves(t) {
		c.InheritedFlags() // which merges them
		c.Flags().VisitAll(func(f *pflag.Flag) {
			seen++
			switch name, _ := pflag.UnquoteUsage(f); name {
			case "string", "stringArray", "strings", "int", "uint":
				t.Errorf("%s: --%s %s", c.CommandPath(), f.Name, name)
			}
		})
		args := append(append([]string{"__complete"}, path(c)...), "--")
		if _, out, _ := clitest.Run(nil, args...); !strings.Contains(out, "--json\t") || strings.Contains(out, "`") {
			t.Errorf("ipe %v: %s", args, out)
		}
	}
	if seen < 200 {
		t.Errorf("only %d flags", seen)
	}
}
