package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKindsAreDocumented: people look for them in the journal.
func TestKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "doc", "ipe-audit.5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []topic{kindPolicyLoaded, kindPolicyUpdated, kindPolicyActivated, kindPolicyDeleted, kindModeChanged, kindRefused, kindProblem, kindSolved, kindSelfTestFailed} {
		if !strings.Contains(string(page), "\n.It Cm "+string(k)+"\n") {
			t.Errorf("ipe-audit(5) lacks %s", k)
		}
	}
}
