//go:build guest

package daemon

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

const ftraceSysctl = "/proc/sys/kernel/ftrace_enabled"

// sysctlsFree removes what the engine left attached to sysctls.
func sysctlsFree(t *testing.T, group *os.File) {
	t.Helper()
	detachAll(t)
	free := func() error {
		list, err := link.QueryPrograms(link.QueryOptions{Target: int(group.Fd()), Attach: ebpf.AttachCGroupSysctl})
		for i := 0; err == nil && i < len(list.Programs); i++ {
			var p *ebpf.Program
			if p, err = ebpf.NewProgramFromID(list.Programs[i].ID); err == nil {
				err = link.RawDetachProgram(link.RawDetachProgramOptions{Target: int(group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl})
				p.Close()
			}
		}
		return err
	}
	if err := await.NoError(free); err != nil { // the guard ends late
		t.Fatal(err)
	}
}

// TestBootedWithoutFtrace: the command line switches ftrace off, iped switches it on.
// Where it cannot keep it so, for the place is taken, status says at once that nothing
// is enforced, with no policy and with one, and an activation switches it on again.
func TestBootedWithoutFtrace(t *testing.T) {
	at := t.TempDir()
	if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	group, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	sysctlsFree(t, group)
	alone, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "alone", Type: ebpf.CGroupSysctl, AttachType: ebpf.AttachCGroupSysctl,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(group.Fd()), Program: alone, Attach: ebpf.AttachCGroupSysctl}); err != nil {
		t.Fatal(err)
	}
	defer sysctlsFree(t, group)
	cmd := iped(t, "--state", "/run/state4", "--policy-dir", "")
	defer stop(t, cmd, unix.SIGTERM)
	ipe(t, "mode", "enforce")
	wantProblems(t, `ipe.enforce="maybe"`, "allows no others beside it")
	if err := os.WriteFile(ftraceSysctl, []byte("0"), 0); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) && os.Getenv("KERNEL_NAME") == "newest" {
			return // this kernel refuses it itself
		}
		t.Fatal(err)
	}
	const want = "NOT ENFORCING: kernel.ftrace_enabled is 0"
	if s := statusNow(t); !strings.HasPrefix(s.Summary, want) || s.Enforcing {
		t.Errorf("without a policy: %q", s.Summary)
	}
	wantProblems(t, `ipe.enforce="maybe"`, "allows no others beside it", "sysctl kernel.ftrace_enabled=1")
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	if out := ipe(t, "policy", "activate", "other"); !strings.Contains(out, "\nenforcing\n") {
		t.Errorf("activation with ftrace off: %s", out)
	}
	denied(t, "after the activation")
	if err := os.WriteFile(ftraceSysctl, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if s := statusNow(t); !strings.HasPrefix(s.Summary, want) || s.Enforcing {
		t.Errorf("seconds after a self-test: %q", s.Summary)
	}
	if err := os.WriteFile(ftraceSysctl, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}
