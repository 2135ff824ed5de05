//go:build guest

package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// exitLockout is what ipe ends with if preflight refuses.
const exitLockout = 4

type forecast struct {
	Errno     string `json:"errno"`
	Files     int    `json:"files"`
	Processes int    `json:"processes"`
	Findings  []struct {
		Path      string   `json:"path"`
		Memory    bool     `json:"memory"`
		Roles     []string `json:"roles"`
		Processes []struct {
			Comm string `json:"comm"`
		} `json:"processes"`
		Rule  string `json:"rule"`
		Facts struct {
			BootVerified bool `json:"boot_verified"`
		} `json:"facts"`
	} `json:"findings"`
	Preflight *forecast `json:"preflight"`
}

// lockedOut wants preflight to refuse a command, and returns what it found.
func lockedOut(t *testing.T, args ...string) forecast {
	t.Helper()
	cmd := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock", "--json"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitLockout {
		t.Fatalf("ipe %v: %v, want exit status %d\n%s", args, err, exitLockout, out)
	}
	var f forecast
	if err := json.Unmarshal(out, &f); err != nil {
		t.Fatalf("ipe %v: %v\n%s", args, err, out)
	}
	if f.Preflight == nil {
		return f
	}
	if f.Errno != "ECANCELED" {
		t.Errorf("ipe %v: errno %s", args, f.Errno)
	}
	return *f.Preflight
}

// wantRole wants a finding with a file of that role.
func (f forecast) wantRole(t *testing.T, role, path string) {
	t.Helper()
	for _, x := range f.Findings {
		if slices.Contains(x.Roles, role) && x.Path == path && x.Facts.BootVerified && x.Rule == "DEFAULT action=DENY" {
			return
		}
	}
	t.Errorf("no %s at %s in %+v", role, path, f.Findings)
}

// TestPreflight: a policy that would lock everybody out is refused, in whichever way it
// would come to decide; --force does it; one that allows what runs is not refused. The
// tree refuses nothing, as the kernel's does not.
func TestPreflight(t *testing.T) {
	detachAll(t)
	daemon := iped(t, "--state", "/run/preflight", "--policy-dir", "")
	defer func() {
		stop(t, daemon, unix.SIGTERM)
		detachAll(t)
	}()
	for _, p := range []string{"/open-1.0.0.p7b", "/closed-3.0.0.p7b", "/site-1.0.0.p7b"} {
		ipe(t, "policy", "load", p)
	}
	f := lockedOut(t, "policy", "activate", "closed")
	f.wantRole(t, "init", "/init")
	f.wantRole(t, "iped", "/usr/bin/iped")
	f.wantRole(t, "ipe", "/usr/bin/ipe")
	if f.Processes < 3 || f.Files < 3 || f.Findings[0].Roles[0] != "init" {
		t.Errorf("of %d files with %d processes, %+v", f.Files, f.Processes, f.Findings)
	}
	if s := statusNow(t); s.Active != nil {
		t.Errorf("refused, and active: %+v", s.Active)
	}
	says(t, "active: open 1.0.0\nactive, not proven: the policy denied nothing that the self-test tried\n", "policy", "activate", "open")
	lockedOut(t, "policy", "update", "/open-2.0.0.p7b")
	if s := statusNow(t); s.Active == nil || s.Active.Version != "1.0.0" {
		t.Errorf("refused an update: %+v", s.Active)
	}
	lockedOut(t, "policy", "preflight", "closed")
	lockedOut(t, "policy", "preflight", "/open-2.0.0.p7b")
	if text := ipe(t, "policy", "preflight", "site"); !strings.Contains(text, "none would newly be denied") {
		t.Errorf("preflight of a policy that allows the initramfs: %s", text)
	}
	onlyMemory(t)
	ipe(t, "mode", "permissive")
	says(t, "active: closed 3.0.0\npermissive\n", "policy", "activate", "closed")
	lockedOut(t, "mode", "enforce")
	if s := statusNow(t); s.Mode.Enforce {
		t.Error("refused to enforce, and enforces")
	}
	ipe(t, "mode", "enforce", "--force")
	lockedAndBack(t)
	if err := os.WriteFile(treeDir+"/enforce", []byte("1"), 0); err != nil {
		t.Errorf("the tree: %v", err)
	}
	lockedAndBack(t)
}

// onlyMemory has memory that is executable and no file's.
func onlyMemory(t *testing.T) {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	f := lockedOut(t, "policy", "preflight", "site")
	if len(f.Findings) != 1 || !f.Findings[0].Memory || len(f.Findings[0].Processes) != 1 || f.Findings[0].Processes[0].Comm != "guest.test" {
		t.Errorf("memory without a file: %+v", f.Findings)
	}
	if err := unix.Munmap(memory); err != nil {
		t.Fatal(err)
	}
}

// lockedAndBack wants ipe to be denied, and goes back by the tree, for which nothing
// need be executed.
func lockedAndBack(t *testing.T) {
	t.Helper()
	if err := exec.Command("/bin/ipe", "version").Run(); !errors.Is(err, unix.EACCES) {
		t.Errorf("locked out: %v, want EACCES", err)
	}
	if err := os.WriteFile(treeDir+"/enforce", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	ipe(t, "version")
}
