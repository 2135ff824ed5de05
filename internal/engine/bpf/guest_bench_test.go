//go:build guest

package bpf_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// rounds is how many mappings one measurement makes.
const rounds = 10_000

// TestMeasureInstructions prints what BenchmarkInstructions reports. The clock of
// its guest advances by one nanosecond an instruction.
func TestMeasureInstructions(t *testing.T) {
	mountAll(t)
	f, err := os.Open("/files/sealed")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	measureMappings(t, f) // the boot still has work to do
	base := measureMappings(t, f)
	fmt.Printf("metric bare %.0f\n", base)
	e := openAt(t, "/sys/fs/bpf/measure")
	fmt.Printf("metric ours-no-policy %.0f\n", measureMappings(t, f)-base)
	if err := e.SetMode(enforcing); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 100, 500, 10_000} {
		if err := e.Activate(engine.Active{Policy: peerPolicyOf(t, n)}); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("metric ours-%d-rules %.0f\n", n, measureMappings(t, f)-base)
	}
	if err := os.RemoveAll("/sys/fs/bpf/measure"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // until the kernel has freed the programs
	base = measureMappings(t, f)
	fmt.Printf("metric bare-again %.0f\n", base)
	for _, n := range []int{1, 100, 500} {
		activateInKernel(t, n)
		fmt.Printf("metric kernel-%d-rules %.0f\n", n, measureMappings(t, f)-base)
	}
}

// peerPolicyOf is the policy of n rules that the kernel gets, too; larger ones,
// which the kernel would not take, are made from it.
func peerPolicyOf(t *testing.T, n int) *policy.Policy {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/images/peer-%d.pol", min(n, 500)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if n <= 500 {
		return p
	}
	more := make([]string, n-500)
	for i := range more {
		more[i] = fmt.Sprintf("op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW", 1000+i)
	}
	head, rules, _ := strings.Cut(string(text), "op=EXECUTE fsverity")
	if p, err = policy.Parse([]byte(head + strings.Join(more, "\n") + "\nop=EXECUTE fsverity" + rules)); err != nil {
		t.Fatal(err)
	}
	return p
}

func activateInKernel(t *testing.T, n int) {
	t.Helper()
	const ipe = "/sys/kernel/security/ipe/"
	signed, err := os.ReadFile(fmt.Sprintf("/images/peer-%d.p7b", n))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ipe+"new_policy", signed, 0o200); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("%spolicies/peer%d/active", ipe, n), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// measureMappings returns the cost of one mmap and munmap. Half of the rounds come
// first, to warm up.
func measureMappings(t *testing.T, f *os.File) float64 {
	t.Helper()
	var start, end unix.Timespec
	for i := range rounds + rounds/2 {
		if i == rounds/2 {
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &start); err != nil {
				t.Fatal(err)
			}
		}
		if err := mapOnce(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &end); err != nil {
		t.Fatal(err)
	}
	return float64(end.Nano()-start.Nano()) / rounds
}

// mapOnce bypasses the bookkeeping of unix.Mmap.
func mapOnce(f *os.File) error {
	addr, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE, f.Fd(), 0)
	if errno != 0 {
		return errno
	}
	if _, _, errno = unix.RawSyscall(unix.SYS_MUNMAP, addr, 4096, 0); errno != 0 {
		return errno
	}
	return nil
}
