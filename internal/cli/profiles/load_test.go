package profiles_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/profiles"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/profile"
)

// served is an iped with the flag that trusts who has signed the file "p", a profile.
func served(t *testing.T, flag profile.Base, eng engine.Engine) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "s")
	signer := controltest.NewSigner(t, "owner\x1b[2J")
	if err := os.WriteFile("p", signer.Sign(t, text), 0o600); err != nil {
		t.Fatal(err)
	}
	clitest.ServeFor(t, signer, profiles.Flags{Base: flag}, eng)
}

const text = "profile_name=site profile_version=1.2.0 base=compat\n" +
	"anon_exec fsverity_digest=sha256:1111111111111111111111111111111111111111111111111111111111111111\n"

// run wants a command to end so, and to print what matches.
func run(t *testing.T, want int, pattern string, args ...string) {
	t.Helper()
	code, stdout, stderr := clitest.Run(nil, args...)
	if both := stdout + stderr; code != want || !regexp.MustCompile(pattern).MatchString(both) || strings.Contains(both, "\x1b") {
		t.Errorf("ipe %s: exit status %d, %q; want %d, %q", strings.Join(args, " "), code, both, want, pattern)
	}
}

// TestProfile: load, show, and what status says.
func TestProfile(t *testing.T) {
	served(t, profile.Strict, controltest.NewEngine())
	run(t, ui.ExitRefused, `no profile is loaded \[ENOENT\]\n.*ipe profile load FILE`, "profile", "show")
	run(t, ui.ExitOK, `(?m)^profile    compat, as before there were profiles; iped --profile strict asks for more$`, "status")
	run(t, ui.ExitOK, `^loaded site 1\.2\.0, base compat, 1 exception\nProcesses that run already .* until they are executed anew\.\n$`, "profile", "load", "p")
	run(t, ui.ExitOK, `(?m)^profile    compat, by site 1\.2\.0, 1 exception, signed by CN=owner.*; it overrules iped --profile strict$`, "status")
	run(t, ui.ExitOK, `^profile    site 1\.2\.0, sha256:[0-9a-f]{16}\nsigned by  CN=owner.*\nloaded     20.*Z\nbase       compat, which overrules iped --profile strict\n\nprofile_name=site .*\nanon_exec fs`, "profile", "show")
	_, stdout, _ := clitest.Run(nil, "profile", "show", "--json")
	var p api.Profile
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || p.Text != text || p.Name != "site" || p.Exceptions != 1 || p.Loaded.IsZero() {
		t.Errorf("show --json: %v: %s", err, stdout)
	}
	run(t, ui.ExitRefused, `not higher than that of the loaded profile \[ESTALE\]\n.*raise profile_version`, "profile", "load", "p")
	run(t, ui.ExitRefused, `no such file`, "profile", "load", "gone")
	run(t, ui.ExitUsage, `wants one FILE\.p7b`, "profile", "load")
}

// TestNoProfiler: an engine without profiles.
func TestNoProfiler(t *testing.T) {
	served(t, profile.Compat, struct{ engine.Engine }{controltest.NewEngine()})
	run(t, ui.ExitRefused, `profiles work with --engine bpf only.*\[ENOTSUP\]`, "profile", "load", "p")
}
