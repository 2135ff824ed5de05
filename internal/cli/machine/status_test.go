package machine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestStatusCheck: each state has its exit code, and says in JSON what it is and why.
func TestStatusCheck(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "s")
	eng := controltest.NewEngine()
	c, stop := clitest.Serve(t, eng, "policy_name=deny policy_version=1.0.0\nDEFAULT action=DENY\n", "policy_name=allow policy_version=1.0.0\nDEFAULT action=ALLOW\n")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.SetEnforce(true))
	wantCheck(t, ui.ExitRefused, api.StateNoPolicy, "no policy: everything is allowed\n")
	must(c.Activate("allow"))
	wantCheck(t, ui.ExitUnproven, api.StateUnproven, "active, not proven: the policy denied nothing that the self-test tried\n")
	must(c.Activate("deny"))
	wantCheck(t, ui.ExitOK, api.StateEnforcing, "enforcing\n")
	must(c.SetEnforce(false))
	wantCheck(t, ui.ExitRefused, api.StatePermissive, "permissive\n")
	must(c.SetEnforce(true))
	eng.Lies = true
	must(c.Activate("allow"))
	must(c.Activate("deny"))
	wantCheck(t, ui.ExitRefused, api.StateNot, "NOT ENFORCING: self-test exec-memfd: the policy demands EACCES, the kernel answered ok\n")
	if code, _, _ := clitest.Run(nil, "status"); code != ui.ExitOK {
		t.Errorf("without --check: exit code %d", code)
	}
	if code, _, _ := clitest.Run(nil, "status", "--check", "x"); code != ui.ExitUsage {
		t.Errorf("wrong usage: exit code %d", code)
	}
	stop()
	if code, stdout, stderr := clitest.Run(nil, "status", "--check"); code != ui.ExitUnreachable || stdout != "" || !strings.Contains(stderr, "iped does not answer") {
		t.Errorf("without iped: exit code %d, %s%s", code, stdout, stderr)
	}
}

func wantCheck(t *testing.T, code int, state, text string) {
	t.Helper()
	if got, stdout, stderr := clitest.Run(nil, "status", "--check"); got != code || stdout != text || stderr != "" {
		t.Errorf("exit code %d, %q, %q; want %d, %q", got, stdout, stderr, code, text)
	}
	got, stdout, stderr := clitest.Run(nil, "status", "--check", "--json")
	var s api.Status
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || got != code || stderr != "" {
		t.Fatalf("exit code %d, %v: %q, %q", got, err, stdout, stderr)
	}
	if s.State != state || (len(s.Reasons) == 0) != (code == ui.ExitOK) {
		t.Errorf("state %q, reasons %q; want %q", s.State, s.Reasons, state)
	}
}

// TestStatusStrict: what is asked beyond the kernel's own IPE, and what came of it.
func TestStatusStrict(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "s")
	eng := controltest.NewEngine()
	_, stop := clitest.Serve(t, eng, "policy_name=deny policy_version=1.0.0\nDEFAULT action=DENY\n")
	defer stop()
	if code, stdout, _ := clitest.Run(nil, "status"); code != ui.ExitOK || !strings.Contains(stdout, "\nprofile    compat, as before there were profiles; iped --profile strict asks for more\nhooks ") {
		t.Errorf("exit code %d: %s", code, stdout)
	}
	eng.Change(func(s *engine.State) {
		s.Profile = engine.Profile{HonestFacts: true, Rules: strict.Enforced()}
		s.Profile.Rules[strict.TraceMe] = strict.Monitor
		s.Swapped, s.Unknown = 1, 2
		for _, r := range strict.All() {
			s.RuleCounts = append(s.RuleCounts, engine.RuleCount{Rule: r})
		}
		s.RuleCounts[strict.Ptrace-1].Refused = 3
	})
	const want = "\nprofile    strict; no facts from 1 mapped device that had another table before; not known whether 2 mapped devices had another table before\n" +
		"rules      enforce: map-wx protect-wx execmod proc-mem ptrace userfaultfd exec-stack personality\n" +
		"           monitor: traceme\n" +
		"           ptrace: 3 refused, 0 monitored\nhooks "
	if code, stdout, _ := clitest.Run(nil, "status"); code != ui.ExitOK || !strings.Contains(stdout, want) {
		t.Errorf("exit code %d: %s\nwant %s", code, stdout, want)
	}
}
