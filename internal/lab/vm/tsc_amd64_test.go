//go:build linux

package vm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// TestVMTSC: the measure agrees with a longer one to what a kernel takes for the same, 1 in
// 100, and a guest's kernel believes it and counts by it.
func TestVMTSC(t *testing.T) {
	c0, t0 := tscNow()
	time.Sleep(4 * tscSpan)
	c1, t1 := tscNow()
	a, b := (c1-c0)*uint64(time.Second/time.Microsecond)/uint64(t1.Sub(t0)), measureTSC()
	if a == 0 || max(a, b)-min(a, b) > a/100 {
		t.Fatalf("%d kHz, then %d kHz", a, b)
	}
	t.Setenv("IPE_VM_SNAPSHOT", "no") // whose guests have the measure of another process
	k, err := debian.FindKernel(t.Context(), debian.KernelNames()[0])
	if err != nil {
		t.Fatal(err)
	}
	files, err := HostBinary("cat")
	if err != nil {
		t.Fatal(err)
	}
	res, err := run(t.Context(), Config{Kernel: k, Files: files, Command: []string{"cat", "/sys/devices/system/clocksource/clocksource0/current_clocksource"}}, accelTCG)
	if err != nil {
		t.Fatal(err)
	}
	khz := hostTSC()
	if want := fmt.Sprintf("tsc: Detected %d.%03d MHz", khz/1000, khz%1000); !bytes.Contains(res.Console, []byte(want)) {
		t.Errorf("no %q in\n%s", want, res.Console)
	}
	if source := string(res.Output); source != "tsc\n" && source != "tsc-early\n" {
		t.Errorf("the guest's time is that of %q", source)
	}
}
