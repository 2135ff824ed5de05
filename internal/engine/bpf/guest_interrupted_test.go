//go:build guest

package bpf_test

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestEngineExamineInterrupted: a signal that comes while the kernel verifies a program
// says nothing of what the kernel can do.
func TestEngineExamineInterrupted(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer interrupt(t, unix.SIGURG, time.Millisecond)()
	for range 3 {
		f, ok := (&abi.System{}).Feature(abi.BPFPrograms)
		if !ok || f.State != abi.Yes {
			t.Fatalf("%+v, ok %v", f, ok)
		}
	}
}

// sigevent is struct sigevent of include/uapi/asm-generic/siginfo.h.
type sigevent struct {
	value  uint64
	signo  int32
	notify int32
	thread int32
	_      [44]byte
}

const sigevThreadID = 4

// interrupt sends this thread a signal each time that so much time has passed, until
// the function that it gives is called.
func interrupt(t *testing.T, s unix.Signal, every time.Duration) (stop func()) {
	t.Helper()
	event := sigevent{signo: int32(s), notify: sigevThreadID, thread: int32(unix.Gettid())}
	var timer int32
	if _, _, e := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&timer))); e != 0 {
		t.Fatal(e)
	}
	at := unix.NsecToTimespec(every.Nanoseconds())
	period := [2]unix.Timespec{at, at}
	if _, _, e := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0, uintptr(unsafe.Pointer(&period)), 0, 0, 0); e != 0 {
		t.Fatal(e)
	}
	return func() {
		if _, _, e := unix.Syscall(unix.SYS_TIMER_DELETE, uintptr(timer), 0, 0); e != 0 {
			t.Error(e)
		}
	}
}
