//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// preempting names, to a child of this test, how nice it is.
const preempting = "PREEMPTING"

// preemptions is how often the one process comes in between.
const preemptions = 5_000

// TestPreempted: a process of higher priority comes in between while a program judges what
// another one does, on the same processor. That has the kernel leave programs out that trace
// functions, which the state says, and none that judge by a hook.
func TestPreempted(t *testing.T) {
	if nice := os.Getenv(preempting); nice != "" {
		preempt(t, nice)
		return
	}
	const pins = "/sys/fs/bpf/preempted"
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: engine.Strict()})
	defer func() { check0(t, errors.Join(e.Close(), os.RemoveAll(pins))) }()
	activate(t, e, enforcing, "DEFAULT action=DENY")
	low := preemptingProcess("19")
	check0(t, low.Start())
	out, err := preemptingProcess("-20").CombinedOutput()
	check0(t, errors.Join(err, low.Process.Kill(), ignoreExit(low.Wait())))
	if !strings.Contains(string(out), "allowed: 0\n") {
		t.Errorf("%s: the policy was passed", out)
	}
	problems := stateOf(t, e).Problems
	told := slices.ContainsFunc(problems, func(p string) bool {
		return strings.Contains(p, "left out") && strings.Contains(p, "__x64_sys_brk")
	})
	if may := os.Getenv("MAY_LEAVE_OUT") != ""; told != may || len(problems) > 1 {
		t.Errorf("problems %q, want one of brk(2) %t", problems, may)
	}
}

func preemptingProcess(nice string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPreempted$")
	cmd.Env = append(os.Environ(), preempting+"="+nice)
	return cmd
}

// preempt asks for what the policy denies, and for what a strict rule looks at: the nice one all the time, until it is killed,
// the other one whenever its timer rings.
func preempt(t *testing.T, nice string) {
	t.Helper()
	runtime.LockOSThread()
	n, err := strconv.Atoi(nice)
	check0(t, err)
	var one unix.CPUSet
	one.Set(0)
	check0(t, errors.Join(unix.SchedSetaffinity(0, &one), unix.Setpriority(unix.PRIO_PROCESS, 0, n)))
	allowed := 0
	for i := 0; n > 0 || i < preemptions; i++ {
		if n < 0 {
			pause := unix.NsecToTimespec(int64(50*time.Microsecond) + int64(i%97)*int64(time.Microsecond))
			_ = unix.Nanosleep(&pause, nil)
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON, ^uintptr(0), 0); errno == 0 {
			allowed++
		}
		_ = raw(unix.SYS_BRK, 0, 0, 0)
	}
	fmt.Printf("allowed: %d\n", allowed)
}
