package policies_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// TestSignWarnsOfDates: dates do not keep anybody from signing, but are mentioned.
func TestSignWarnsOfDates(t *testing.T) {
	const text = "policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\n"
	for _, tt := range []struct {
		name     string
		from, to int
		want     string
	}{
		{"valid", -1, 1, ""},
		{"expired", -2, -1, "warning: the certificate expired on "},
		{"not yet valid", 1, 2, "warning: the certificate is not valid before "},
	} {
		dir, key, cert := clitest.Signer(t, tt.from, tt.to)
		code, _, stderr := clitest.Run([]byte(text), "policy", "sign", "--key", key, "--cert", cert, "-o", filepath.Join(dir, "out"), "-")
		if code != ui.ExitOK || (stderr == "") != (tt.want == "") || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", tt.name, code, stderr, tt.want)
		}
	}
}
