package records_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// TestEventsStrict: what a strict rule found names the rule's switch, and is in no form of
// the kernel's.
func TestEventsStrict(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("IPE_SOCKET", "s")
	eng := controltest.NewEngine()
	_, stop := clitest.Serve(t, eng, "policy_name=deny policy_version=1.0.0\nDEFAULT action=DENY\n")
	defer stop()
	found := engine.Event{Time: time.Unix(1, 0), PID: 7, Comm: "gdb", Decision: eval.Decision{Action: policy.Deny, Rule: eval.NoRule}}
	refused, killed, monitored := found, found, found
	refused.Rule, refused.Enforcing = strict.Ptrace, true
	killed.Rule, killed.Enforcing, killed.Path, killed.Device, killed.Inode = strict.ExecStack, true, "/x", "dm-0", 4
	monitored.Rule = strict.TraceMe
	for _, e := range []engine.Event{refused, killed, monitored} {
		eng.Emit(e)
	}
	const want = "1970-01-01T00:00:01Z DENY strict rule ptrace by gdb[7]: no file: iped --rule ptrace=monitor lets it happen, rule=ptrace in a profile for one executable\n" +
		"1970-01-01T00:00:01Z KILL strict rule exec-stack by gdb[7]: /x on dm-0 inode 4: iped --rule exec-stack=monitor lets it happen, rule=exec-stack in a profile for one executable\n" +
		"1970-01-01T00:00:01Z DENY (monitored) strict rule traceme by gdb[7]: no file: iped --rule traceme=monitor lets it happen, rule=traceme in a profile for one executable\n"
	var stdout string
	if !await.Until(func() bool {
		_, stdout, _ = clitest.Run(nil, "events")
		return stdout == want
	}) {
		t.Errorf("%s\nwant %s", stdout, want)
	}
	_, stdout, _ = clitest.Run(nil, "events", "--json")
	if strings.Count(stdout, `"name":"STRICT"`) != 3 || !strings.Contains(stdout, `"strict":{"rule":"exec-stack","enforcing":true,"killed":true,`) {
		t.Error(stdout)
	}
	if _, stdout, _ := clitest.Run(nil, "events", "--format", "audit"); strings.Contains(stdout, "type=1420") || strings.Contains(stdout, "gdb") {
		t.Errorf("a record of the kernel's: %s", stdout)
	}
}
