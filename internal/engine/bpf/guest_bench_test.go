//go:build guest

package bpf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/policy"
)

// A call is measured this often, after a few that warm up, in each of some processes.
const (
	rounds   = 1200
	warmUp   = 200
	children = 7
)

// measured names, to a child of this test, the file that it is to map.
const measured = "MEASURED"

// TestMeasureInstructions prints what BenchmarkInstructions reports. The clock of
// its guest advances by one nanosecond an instruction.
func TestMeasureInstructions(t *testing.T) {
	if name := os.Getenv(measured); name != "" {
		measureMappings(t, name)
		return
	}
	// Where things lie in memory changes what a mapping costs.
	if err := os.WriteFile("/proc/sys/kernel/randomize_va_space", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/files", 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, "mount", "-o", "loop", "/images/files.img", "/files")
	tool(t, "fsverity", "enable", "/files/sealed")
	bare := measureInChildren(t)
	metric("bare", bare)
	measureOurs(t, bare)
	again := measureInChildren(t)
	metric("bare-again", again)
	if os.Getenv("KERNEL_IPE") != "" {
		for _, n := range []int{1, 100, 500} {
			activateInKernel(t, n)
			metric(fmt.Sprintf("kernel-%d-rules", n), measureInChildren(t)-again)
		}
	}
}

// measureOurs prints what the engine adds, and leaves nothing of it.
func measureOurs(t *testing.T, bare int64) {
	t.Helper()
	e := openAt(t, "/sys/fs/bpf/measure")
	metric("ours-no-policy", measureInChildren(t)-bare)
	if err := e.SetMode(enforcing); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 100, 500, 10_000} {
		if err := e.Activate(engine.Active{Policy: peerPolicyOf(t, n)}); err != nil {
			t.Fatal(err)
		}
		metric(fmt.Sprintf("ours-%d-rules", n), measureInChildren(t)-bare)
	}
	if err := e.Close(); err != nil { // before its pins go, which it would put back
		t.Fatal(err)
	}
	if err := os.RemoveAll("/sys/fs/bpf/measure"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // until the kernel has freed the programs
}

func metric(name string, instructions int64) { fmt.Printf("metric %s %d\n", name, instructions) }

// measureInChildren is what one mmap and munmap of the file cost, most often, in processes
// of their own, whose memory is the same each time. In one of ten all calls cost more or
// less.
func measureInChildren(t *testing.T) int64 {
	t.Helper()
	took := make(map[int64]int, rounds)
	for range children {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMeasureInstructions$")
		cmd.Env = append(os.Environ(), measured+"=/files/sealed", "GOGC=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var one map[int64]int
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&one); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for v, n := range one {
			took[v] += n
		}
	}
	return mode(took)
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

// measureMappings prints how many calls took how long. Each is timed alone, because an
// average has timer interrupts in it.
func measureMappings(t *testing.T, name string) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	took := make(map[int64]int, rounds)
	for i := range warmUp + rounds {
		start := time.Now()
		err := mapOnce(f)
		d := time.Since(start)
		if err != nil {
			t.Fatal(err)
		}
		if i >= warmUp {
			took[int64(d)]++
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(took); err != nil {
		t.Fatal(err)
	}
}

// mode is the most frequent value, the least of several.
func mode(count map[int64]int) (best int64) {
	for value, n := range count {
		if n > count[best] || n == count[best] && value < best {
			best = value
		}
	}
	return best
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
