//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/attack"
)

// TestEngineProbes: what root may do to verified code by probes, which no rule refuses,
// and LIMITATIONS.md tells. What a counter's own memory is denied is the policy's.
func TestEngineProbes(t *testing.T) {
	const pins, path, breakpoint = "/sys/fs/bpf/probes", "/probed", 0xcc
	check0(t, os.WriteFile(path, attack.Program(attack.Constant(), false), 0o755))
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: engine.Strict()})
	defer func() { check0(t, errors.Join(e.Close(), os.RemoveAll(pins))) }()
	activate(t, e, enforcing, "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW")
	if got := exitStatus(t, path); got != 0x55 {
		t.Fatalf("exit status %#x", got)
	}
	probe := uprobe(t, path, attack.ConstantAt)
	if got := exitStatus(t, path); got != breakpoint {
		t.Errorf("exit status %#x: a probe no longer changes verified code, which LIMITATIONS.md says", got)
	}
	check0(t, unix.Close(probe))
	if got := exitStatus(t, path); got != 0x55 {
		t.Errorf("exit status %#x when the probe is gone", got)
	}
	counter := perfEvent(t, unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY}, 0, -1)
	defer unix.Close(counter)
	for prot, want := range map[int]error{unix.PROT_READ | unix.PROT_WRITE: nil, unix.PROT_READ | unix.PROT_EXEC: unix.EACCES} {
		mem, err := unix.Mmap(counter, 0, 2*unix.Getpagesize(), prot, unix.MAP_SHARED)
		if !errors.Is(err, want) {
			t.Errorf("map the ring of a counter, protection %d: %v, want %v", prot, err, want)
		}
		if err == nil {
			check0(t, unix.Munmap(mem))
		}
	}
}

func exitStatus(t *testing.T, path string) int {
	t.Helper()
	var exit *exec.ExitError
	if err := exec.Command(path).Run(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// uprobe has all processes stop at a byte of a file, which becomes a breakpoint.
func uprobe(t *testing.T, path string, at uint64) int {
	t.Helper()
	text, err := os.ReadFile("/sys/bus/event_source/devices/uprobe/type")
	check0(t, err)
	kind, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	check0(t, err)
	name, err := unix.BytePtrFromString(path)
	check0(t, err)
	defer runtime.KeepAlive(name)
	return perfEvent(t, unix.PerfEventAttr{Type: uint32(kind), Ext1: uint64(uintptr(unsafe.Pointer(name))), Ext2: at}, -1, 0)
}

func perfEvent(t *testing.T, attr unix.PerfEventAttr, pid, cpu int) int {
	t.Helper()
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	check0(t, err)
	return fd
}
