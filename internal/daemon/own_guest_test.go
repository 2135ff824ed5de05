//go:build guest

package daemon

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// ownTree is the kernel's own control tree.
const ownTree = "/sys/kernel/security/ipe/"

// script writes to the kernel's own tree, behind iped's back.
func script(t *testing.T, node, file string) {
	t.Helper()
	data := []byte(file)
	if strings.HasPrefix(file, "/") {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(ownTree+node, data, 0); err != nil {
		t.Fatal(err)
	}
}

// wantPolicies wants the kernel's tree, that of iped and ipe to have the same
// policies, in those states.
func wantPolicies(t *testing.T, states ...string) {
	t.Helper()
	var want []string
	for _, s := range states {
		name, _, _ := strings.Cut(s, " ")
		want = append(want, name)
	}
	for _, dir := range []string{ownTree, treeDir + "/"} {
		entries, err := os.ReadDir(dir + "policies")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("in %s: %q, want %q", dir, names, want)
		}
	}
	blanks := regexp.MustCompile(` +`)
	var got []string
	for line := range strings.Lines(ipe(t, "policy", "list")) {
		if fields := blanks.Split(line, -1); fields[0] != "NAME" {
			got = append(got, strings.Join(fields[:3], " "))
		}
	}
	if !slices.Equal(got, states) {
		t.Errorf("ipe policy list: %q, want %q", got, states)
	}
}

// TestOwnTreeChanges: others use the kernel's tree while iped runs, which follows.
func TestOwnTreeChanges(t *testing.T) {
	cmd := iped(t)
	defer stop(t, cmd, unix.SIGTERM)
	if s := statusNow(t); !s.Enforcing || !strings.Contains(s.Reason, "trusts a given certificate") {
		t.Errorf("taken over: %+v", s)
	}
	wantPolicies(t, "site 1.1.0 active")
	script(t, "new_policy", "/other-2.0.0.p7b")
	wantPolicies(t, "other 2.0.0 inactive,unkept", "site 1.1.0 active")
	wantProblems(t)
	script(t, "policies/other/active", "1")
	if s := statusNow(t); !s.Enforcing || s.Active == nil || s.Active.Name != "other" {
		t.Errorf("others activated another policy: %+v", s)
	}
	wantPolicies(t, "other 2.0.0 active,unkept", "site 1.1.0 inactive")
	wantProblems(t, `the kernel decides by policy other; policy site returns`)
	node(t, "policies/other/active", "1")
	refused(t, "EINVAL", "policy", "activate", "site")
	refused(t, "EPERM", "policy", "delete", "other")
	script(t, "enforce", "0")
	allowed(t, "others made it permissive")
	node(t, "enforce", "0")
	if s := statusNow(t); s.Summary != "permissive" {
		t.Errorf("others made it permissive: %+v", s)
	}
	wantProblems(t, `policy site returns`, "others changed it to permissive")
	ipe(t, "mode", "enforce")
	denied(t, "enforcing again")
	says(t, "active: other 2.0.0\nenforcing\n", "policy", "activate", "other")
	wantProblems(t)
	says(t, "deleted site\n", "policy", "delete", "site")
	wantPolicies(t, "other 2.0.0 active")
	ipe(t, "policy", "load", "/site-1.1.0.p7b")
	script(t, "policies/site/delete", "1")
	wantPolicies(t, "other 2.0.0 active")
	wantProblems(t, "others deleted it")
	says(t, "loaded site 1.1.0, inactive\n", "policy", "load", "/site-1.1.0.p7b")
	wantPolicies(t, "other 2.0.0 active", "site 1.1.0 inactive")
	wantProblems(t)
	refused(t, "ESTALE", "policy", "update", "/site-1.0.0.p7b")
}

// TestOwnEvents: the kernel's records arrive with path and rule.
func TestOwnEvents(t *testing.T) {
	cmd := iped(t)
	defer stop(t, cmd, unix.SIGTERM)
	program, err := os.ReadFile("/bin/ipe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/copy", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run/copy", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join("/run/copy", "a tool")
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(copied, "version").Run(); !errors.Is(err, unix.EACCES) {
		t.Errorf("a copy ran: %v", err)
	}
	denial := regexp.MustCompile(`DENY EXECUTE BPRM_CHECK by .*a tool on tmpfs inode [0-9]+: DEFAULT action=DENY`)
	var got string
	if !await.Until(func() bool { got = ipe(t, "events"); return denial.MatchString(got) }) {
		t.Fatalf("no event of the copy:\n%s", got)
	}
}

// TestOwnKeys: without certificates the kernel alone says who may sign.
func TestOwnKeys(t *testing.T) {
	cmd := bare(t, "--engine", "securityfs", "--state", "/run/state4", "--policy-dir", "")
	defer stop(t, cmd, unix.SIGTERM)
	refused(t, "ENOKEY", "policy", "load", "/stranger.p7b")
	refused(t, "keyctl show %:.platform", "policy", "load", "/stranger.p7b")
	if out := ipe(t, "status"); !strings.Contains(out, "\ntrust      the kernel's keyrings\n") || !strings.Contains(out, "because: asked for with --engine") {
		t.Errorf("status:\n%s", out)
	}
	ipe(t, "policy", "delete", "site")
	says(t, "loaded site 1.0.0, inactive\n", "policy", "load", "/site-1.0.0.p7b")
}

// TestOwnKeepsPrograms: what enforces already is not exchanged while the machine runs.
func TestOwnKeepsPrograms(t *testing.T) {
	defer detachAll(t)
	for _, start := range []struct{ engine, reason string }{{"bpf", "asked for"}, {"auto", "attached already"}} {
		cmd := iped(t, "--engine", start.engine, "--state", "/run/state5", "--policy-dir", "")
		if s := statusNow(t); s.Engine != "bpf" || !strings.Contains(s.Reason, start.reason) {
			t.Errorf("--engine %s: %s, because %s", start.engine, s.Engine, s.Reason)
		}
		stop(t, cmd, unix.SIGKILL)
	}
}

// stateDisk mounts what outlives a boot.
func stateDisk(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.MkdirAll("/state", 0o700), unix.Mount("/dev/vda", "/state", "ext4", 0, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount("/state", 0); err != nil {
			t.Error(err)
		}
	})
}

func TestRebootFirst(t *testing.T) {
	stateDisk(t)
	cmd := iped(t, "--state", "/state/ipe")
	defer stop(t, cmd, unix.SIGKILL)
	for _, args := range [][]string{
		{"load", "/site-1.0.0.p7b"}, {"load", "/other-2.0.0.p7b"}, {"activate", "site"}, {"update", "/site-1.1.0.p7b"},
	} {
		ipe(t, append([]string{"policy"}, args...)...)
	}
	ipe(t, "mode", "--success-audit", "on")
}

// TestRebootSecond: the kernel has forgotten everything, and gets it back.
func TestRebootSecond(t *testing.T) {
	stateDisk(t)
	if left, err := os.ReadDir(ownTree + "policies"); err != nil || len(left) != 0 {
		t.Fatalf("a fresh kernel has %v, %v", left, err)
	}
	cmd := iped(t, "--state", "/state/ipe")
	defer stop(t, cmd, unix.SIGTERM)
	denied(t, "after a reboot")
	if s := statusNow(t); !s.Enforcing || !s.Mode.SuccessAudit || s.Active == nil || s.Active.Version != "1.1.0" {
		t.Errorf("after a reboot: %+v", s)
	}
	wantPolicies(t, "other 2.0.0 inactive", "site 1.1.0 active")
	wantProblems(t)
}

// TestRebootThird: a kernel that trusts nobody takes none of them, so the start fails;
// one that is to repair that says so.
func TestRebootThird(t *testing.T) {
	stateDisk(t)
	refuses := exec.Command("/bin/iped", "--engine", "securityfs", "--trust", "/etc/ipe/trust", "--state", "/state/ipe", "--socket", "/run/iped.sock")
	if out, err := refuses.CombinedOutput(); refuses.ProcessState.ExitCode() != exitUnguarded {
		t.Errorf("a start that leaves everything allowed: %v\n%s", err, out)
	}
	cmd := iped(t, "--engine", "securityfs", "--state", "/state/ipe", "--repair")
	defer stop(t, cmd, unix.SIGTERM)
	if s := statusNow(t); s.Enforcing || s.Active != nil {
		t.Errorf("a kernel that trusts nobody: %+v", s)
	}
	wantProblems(t, `policy other: the kernel refused: /sys/kernel/security/ipe/new_policy: required key not available`,
		`policy site: the kernel refused: /sys/kernel/security/ipe/new_policy: required key not available`)
	if got := ipe(t, "policy", "list"); strings.Count(got, "inactive,unusable") != 2 {
		t.Errorf("policies:\n%s", got)
	}
	allowed(t, "nothing is active")
}
