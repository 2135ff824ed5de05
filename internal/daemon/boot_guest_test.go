//go:build guest

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// stop ends a daemon, by kill as well as by request.
func stop(t *testing.T, cmd *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := errors.Join(cmd.Process.Signal(sig), ignore(cmd.Wait())); err != nil {
		t.Error(err)
	}
}

// detachAll makes the kernel what it was before the first iped.
func detachAll(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll("/sys/fs/bpf/ipe"); err != nil {
		t.Fatal(err)
	}
}

// allowed wants anonymous memory to become executable.
func allowed(t *testing.T, when string) {
	t.Helper()
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Errorf("%s: anonymous executable memory: %v", when, err)
		return
	}
	if err := unix.Munmap(memory); err != nil { // or preflight would find it
		t.Error(err)
	}
}

// wantMode wants what ipe, the tree and, where it has the parameters, the kernel's own
// IPE say of the mode to be the same.
func wantMode(t *testing.T, when string, enforce, audit bool) {
	t.Helper()
	if s := statusNow(t); s.Mode.Enforce != enforce || s.Mode.SuccessAudit != audit {
		t.Errorf("%s: mode %+v", when, s.Mode)
	}
	for name, on := range map[string]bool{"enforce": enforce, "success_audit": audit} {
		node(t, name, map[bool]string{false: "0", true: "1"}[on])
	}
}

// wantProblems wants one problem with each of the words, and no other.
func wantProblems(t *testing.T, words ...string) {
	t.Helper()
	problems := statusNow(t).Problems
	if len(problems) != len(words) {
		t.Errorf("%d problems, want %d: %q", len(problems), len(words), problems)
	}
	for _, w := range words {
		if !strings.Contains(strings.Join(problems, "\n"), w) {
			t.Errorf("no problem with %q: %q", w, problems)
		}
	}
}

// TestBootedMode: the command line rules until the mode is changed in this boot, also
// over a daemon that was killed. Where the kernel has IPE itself, both read the line
// alike.
func TestBootedMode(t *testing.T) {
	for name, want := range map[string]string{"enforce": "N\n", "success_audit": "Y\n"} {
		got, err := os.ReadFile("/sys/module/ipe/parameters/" + name)
		if err == nil && string(got) != want {
			t.Errorf("the kernel reads %s as %q, want %q", name, got, want)
		}
	}
	defer detachAll(t)
	cmd := iped(t)
	wantMode(t, "first start", false, true)
	if s := statusNow(t); s.Active == nil || s.Active.Name != "site" || s.Active.Version != "1.0.0" {
		t.Errorf("found at start: %+v, want the policy of the first directory", s.Active)
	}
	wantProblems(t, `ipe.enforce="maybe"`, "/usr/lib/ipe/broken.p7b")
	allowed(t, "permissive by the command line")
	stop(t, cmd, unix.SIGKILL)
	cmd = iped(t)
	wantMode(t, "killed", false, true)
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	ipe(t, "policy", "activate", "other")
	ipe(t, "mode", "enforce")
	stop(t, cmd, unix.SIGTERM)
	denied(t, "stopped")
	cmd = iped(t)
	wantMode(t, "mode was changed", true, true)
	if s := statusNow(t); s.Active == nil || s.Active.Name != "other" {
		t.Errorf("active %+v; want what was activated, not what is found at each start", s.Active)
	}
	stop(t, cmd, unix.SIGTERM)
}

// TestBootedPolicyWithoutPlace: a boot policy that the tree cannot show is in force,
// and everything works besides.
func TestBootedPolicyWithoutPlace(t *testing.T) {
	defer detachAll(t)
	cmd := iped(t, "--state", "/run/state2", "--boot-policy", "/slash.pol", "--policy-dir", "")
	defer stop(t, cmd, unix.SIGTERM)
	ipe(t, "mode", "enforce")
	denied(t, "by the boot policy")
	if s := statusNow(t); !s.Enforcing || s.Active == nil || s.Active.Name != "a/b" {
		t.Errorf("status %+v", s)
	}
	wantProblems(t, `ipe.enforce="maybe"`, "cannot be that of a directory")
	if left, err := os.ReadDir(treeDir + "/policies"); err != nil || len(left) != 0 {
		t.Errorf("in the tree: %v, %v", left, err)
	}
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	ipe(t, "policy", "activate", "other")
	node(t, "policies/other/active", "1")
}

// TestBootedPolicyOfTree is the life of a boot policy, by files.
func TestBootedPolicyOfTree(t *testing.T) {
	defer detachAll(t)
	put := func(name, file string, want error) {
		t.Helper()
		data := []byte("1")
		if file != "1" {
			var err error
			if data, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(treeDir+"/"+name, data, 0); !errors.Is(err, want) {
			t.Errorf("%s to %s: %v, want %v", file, name, err, want)
		}
	}
	start := func() *exec.Cmd {
		return iped(t, "--state", "/run/state3", "--boot-policy", "/site.pol", "--policy-dir", "")
	}
	cmd := start()
	node(t, "policies/site/active", "1")
	node(t, "policies/site/version", "0.0.1")
	if _, err := os.ReadFile(treeDir + "/policies/site/pkcs7"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("pkcs7 of the boot policy: %v, want ENOENT", err)
	}
	put("policies/site/delete", "1", unix.EPERM)
	put("policies/site/update", "/other-2.0.0.p7b", unix.EINVAL)
	put("policies/site/update", "/site-1.0.0.p7b", nil)
	node(t, "policies/site/version", "1.0.0")
	node(t, "policies/site/active", "1")
	want, err := os.ReadFile("/site-1.0.0.p7b")
	if err != nil {
		t.Fatal(err)
	}
	node(t, "policies/site/pkcs7", string(want))
	put("new_policy", "/other-2.0.0.p7b", nil)
	put("policies/other/active", "1", nil)
	put("policies/site/delete", "1", nil)
	stop(t, cmd, unix.SIGTERM)
	cmd = start()
	defer stop(t, cmd, unix.SIGTERM)
	node(t, "policies/site/version", "0.0.1")
	node(t, "policies/site/active", "0")
	node(t, "policies/other/active", "1")
	put("policies/site/active", "1", unix.EINVAL)
	put("policies/site/delete", "1", nil)
	if _, err := os.Stat(treeDir + "/policies/site"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("deleted: %v", err)
	}
	wantProblems(t, fmt.Sprintf("ipe.enforce=%q", "maybe"))
}
