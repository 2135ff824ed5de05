package files_test

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/author/walk/walktest"
	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/policy"
)

// TestRulesByOperation puts all cases into a tree, and asks for rules of it: by content,
// by the paths of a manifest, and of what policies judge alone.
func TestRulesByOperation(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for at, c := range walktest.Cases(t) {
		name := "." + at
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(c.Content+"\n"+at), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := clitest.Run(nil, append([]string{"fsverity"}, args...)...)
		if code != ui.ExitOK || stderr != "" {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
		return stdout
	}
	ruled := func(text string) map[string]string {
		got, file := map[string]string{}, ""
		for line := range strings.Lines(text) {
			if name, ok := strings.CutPrefix(line, "# "); ok {
				file = "/" + strings.TrimPrefix(strings.TrimSpace(name), "./")
				continue
			}
			got[file] = strings.TrimPrefix(strings.Fields(line)[0], "op=")
		}
		return got
	}
	byContent, byPath, judgedOnly := map[string]string{}, map[string]string{}, map[string]string{}
	for at, c := range walktest.Cases(t) {
		byContent[at], byPath[at] = c.Of, c.At
		if c.At != "EXECUTE" || strings.HasPrefix(c.Content, elf.ELFMAG) {
			judgedOnly[at] = c.Of
		}
	}
	all := ask("rules", "--paths", ".")
	if diff := cmp.Diff(byContent, ruled(all)); diff != "" {
		t.Errorf("by content (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(judgedOnly, ruled(ask("rules", "--paths", "--executable", "."))); diff != "" {
		t.Errorf("with --executable (-want +got):\n%s", diff)
	}
	manifest := filepath.Join(t.TempDir(), "manifest")
	ask("manifest", "-o", manifest, ".")
	if diff := cmp.Diff(byPath, ruled(ask("rules", "--paths", "--manifest", manifest))); diff != "" {
		t.Errorf("by manifest (-want +got):\n%s", diff)
	}
	if got := ruled(ask("rules", "--op=FIRMWARE", "--paths", "boot")); len(got) == 0 || got["/boot/vmlinux"] != "FIRMWARE" {
		t.Errorf("with --op: %v", got)
	}
	// Where a relative path leads is what counts.
	t.Chdir("lib/firmware")
	if got := ruled(ask("rules", "--paths", "dsp.mbn")); got["/dsp.mbn"] != "FIRMWARE" {
		t.Errorf("from within: %v", got)
	}
	if _, err := policy.Parse([]byte("policy_name=all policy_version=1.0.0\nDEFAULT action=DENY\n" + all)); err != nil {
		t.Error(err)
	}
}
