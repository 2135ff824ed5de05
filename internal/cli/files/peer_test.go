package files

import (
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// TestPeerFlags compares the options of fsverity(1) with what it says itself.
func TestPeerFlags(t *testing.T) {
	for name, known := range peerFlags {
		if name == "" {
			continue
		}
		help, err := exec.CommandContext(t.Context(), "fsverity", name, "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		var options []string
		for _, m := range regexp.MustCompile(`\[--([a-z0-9-]+)`).FindAllStringSubmatch(string(help), -1) {
			options = append(options, m[1])
		}
		slices.Sort(options)
		if diff := cmp.Diff(options, known); diff != "" {
			t.Errorf("%s (-theirs +ours):\n%s", name, diff)
		}
		cmd, _, err := Command(&ui.UI{}).Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		for _, option := range options {
			if f := cmd.Flags().Lookup(option[:len(option)-1]); f == nil || f.Name != option {
				t.Errorf("%s: --%s is not short for --%s", name, option[:len(option)-1], option)
			}
		}
	}
}
