//go:build guest

package vmtest_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The tests below behave badly on purpose, each in its own way. The host's tests
// of this package run them and look at the report.

func TestGood(t *testing.T) {
	t.Log("all is well")
	t.Run("a/b", func(*testing.T) {})
	t.Run("with space", func(t *testing.T) { t.Run("deep", func(*testing.T) {}) })
}

func TestBad(t *testing.T) {
	t.Run("fine", func(*testing.T) {})
	t.Run("broken", func(t *testing.T) { t.Error("one is not two") })
}

func TestSkipped(t *testing.T) { t.Skip("no reason") }

func TestPanic(*testing.T) { panic("on purpose") }

func TestExit(*testing.T) { os.Exit(3) }

func TestExitZero(*testing.T) { os.Exit(0) }

func TestHang(*testing.T) { select {} }

// spinning is the variable that makes TestStop its own child.
const spinning = "VMTEST_SPIN"

// TestStop stops the test's own clock, too. Its child takes the guest's time.
func TestStop(t *testing.T) {
	for os.Getenv(spinning) != "" {
	}
	spin := exec.Command(os.Args[0], "-test.run=^TestStop$")
	spin.Env = []string{spinning + "=1"}
	if err := spin.Start(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	select {} // the signal comes
}

func TestKernelPanic(t *testing.T) {
	// What a dying kernel has not sent yet is lost; let the test's name get out.
	time.Sleep(time.Second)
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
		t.Fatal(err)
	}
}
