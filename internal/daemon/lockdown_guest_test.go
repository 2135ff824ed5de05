//go:build guest

package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ipe-linux/ipe/internal/linux/keyring"
	"github.com/ipe-linux/ipe/sign"
)

const lockdownFile = "/sys/kernel/security/lockdown"

// wantDoctor wants doctor to say no, and all of the words.
func wantDoctor(t *testing.T, cmd *exec.Cmd, words ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v ended with %v, want status 1\n%s", cmd.Args, err, out)
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			t.Errorf("%v says nothing of %q:\n%s", cmd.Args, w, out)
		}
	}
}

// wantRefusal wants iped to end with a reason, a hint and the status of a machine on which
// nothing enforces, and to leave nothing attached.
func wantRefusal(t *testing.T) {
	t.Helper()
	out, err := exec.Command("/bin/iped", "--engine", "bpf", "--trust", "/etc/ipe/trust", "--state", "/run/refused", "--socket", "/run/iped.sock").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitUnguarded {
		t.Errorf("iped ended with %v", err)
	}
	for _, w := range []string{"kernel feature bpf-programs: programs may not call bpf_probe_read", "iped: hint: boot with lockdown=integrity"} {
		if !strings.Contains(string(out), w) {
			t.Errorf("iped says nothing of %q:\n%s", w, out)
		}
	}
	if links, err := filepath.Glob("/sys/fs/bpf/ipe/*/link_*"); err != nil || len(links) > 0 {
		t.Errorf("it left %v, %v", links, err)
	}
}

// TestLockedDown: doctor says what iped runs into, for each of the ways in which a kernel
// that has everything refuses it.
func TestLockedDown(t *testing.T) {
	if text, err := os.ReadFile(lockdownFile); err != nil || !strings.Contains(string(text), "[confidentiality]") {
		t.Fatalf("lockdown is %q, %v", text, err)
	}
	// A signer whom no kernel trusts: iped would not choose the kernel's own IPE.
	if err := os.Symlink("/etc/ipe/trust", "/etc/ipe/trust.d"); err != nil {
		t.Fatal(err)
	}
	doctor := func(flags ...string) *exec.Cmd {
		return exec.Command("/bin/ipe", append([]string{"doctor"}, flags...)...)
	}
	wantDoctor(t, doctor(), "no       bpf-programs", "bpf_probe_read_kernel", "boot with lockdown=integrity", "this kernel cannot enforce")
	var report struct {
		Ready bool `json:"ready"`
	}
	out, _ := doctor("--json").Output()
	if err := json.Unmarshal(out, &report); err != nil || report.Ready {
		t.Errorf("ready: %v, %v", report.Ready, err)
	}
	wantRefusal(t)
	kernel, err := keyring.Open()
	if err != nil {
		t.Fatalf("the kernel's keyrings are not asked: %v", err)
	}
	defer kernel.Close()
	message, err := os.ReadFile("/stranger.p7b")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := kernel.Verify(message); !errors.Is(err, sign.ErrUntrusted) {
		t.Errorf("the kernel verifies a stranger's message: %v", err)
	}

	elsewhere := doctor()
	elsewhere.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}},
	}
	wantDoctor(t, elsewhere, "no       bpf-syscall", "load a program: operation not permitted", "initial user namespace")
	if err := os.WriteFile("/proc/sys/net/core/bpf_jit_enable", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	wantDoctor(t, doctor(), "no       bpf-programs", "does not compile", "sysctl net.core.bpf_jit_enable=1")
}

// TestLockedDownLater: what the kernel took before goes on, and a new iped takes it over.
func TestLockedDownLater(t *testing.T) {
	daemon := iped(t, "--engine", "bpf")
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	ipe(t, "policy", "activate", "other")
	if err := os.WriteFile(lockdownFile, []byte("confidentiality"), 0); err != nil {
		t.Fatal(err)
	}
	stop(t, daemon, os.Kill)
	denied(t, "locked down")
	daemon = iped(t, "--engine", "bpf")
	if s := statusNow(t); !s.Enforcing || !s.Kernel.Adopted {
		t.Errorf("restarted: %+v", s)
	}
	denied(t, "locked down and restarted")
	stop(t, daemon, os.Kill)
	detachAll(t)
	wantRefusal(t)
	allowed(t, "with nothing attached")
}
