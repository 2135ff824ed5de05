//go:build linux

// Package vm boots a real kernel in a virtual machine, runs one command in it
// as root, and brings back what the command wrote, its exit status and the kernel
// log. Without hardware virtualisation, a guest for which nothing is out of the ordinary
// at boot starts in about one second, from a snapshot that the first of its kind left in
// the cache; others boot in four to thirteen. IPE_VM_SNAPSHOT=no has all boot.
//
// The guest has no disk of its own: everything is in an initramfs made for the
// run, so a run changes nothing on the host. Enforcement is tried here and nowhere
// else, because a program that can deny must never meet the kernel of the machine
// that builds or tests.
//
// It needs Linux on amd64, QEMU, xz and, for the first run, a Debian package
// archive; scripts/setup provides them. Package vmtest turns tests in a guest into
// subtests.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// DefaultTimeout ends a guest that has not finished by then.
const DefaultTimeout = 3 * time.Minute

var (
	// ErrTimeout means that the guest was killed because its time was over.
	ErrTimeout = errors.New("guest did not finish in time")
	// ErrNoStatus means that the guest ended without an exit status: its kernel
	// panicked, or it was powered off from within.
	ErrNoStatus = errors.New("guest ended without reporting")
	// ErrSetup means that the guest's init program could not prepare the guest.
	ErrSetup = errors.New("guest could not be prepared")
)

// Config says what to boot and what to run there.
type Config struct {
	Kernel debian.Kernel
	// Command is run as root, with PATH looked up in the guest. When it is empty,
	// the guest powers off as soon as it is up.
	Command []string
	// Env is added to PATH, HOME and TMPDIR.
	Env []string
	// Dir is the working directory of the command; "/" when empty.
	Dir string
	// Init, a program and its arguments, becomes process 1, and the command runs beside
	// it: systemd, to see a unit under it. It gets SYSTEMD_IN_INITRD=0.
	Init []string
	// Merge makes the command's standard error the same as its standard output, so
	// that the order of both is kept; Result.Stderr stays empty.
	Merge bool
	// Files stand in the guest's initramfs.
	Files Files
	// Modules are loaded first, each "NAME" or "NAME PARAMETERS", with those they
	// depend on.
	Modules []string
	// Append is added to the kernel's command line, for example "lsm=bpf".
	Append []string
	// UEFI boots through firmware; the kernel then trusts PlatformKey.
	UEFI bool
	// MOK boots through firmware and shim, with PlatformKey enrolled as the key of the
	// machine's owner: a kernel that has the keyring .machine counts it among its
	// secondary trusted keys, too.
	MOK bool
	// Disks appear as /dev/vda, /dev/vdb and so on.
	Disks []Disk
	// MemoryMiB is the guest's memory; zero means 1024.
	MemoryMiB int
	// CPUs of the guest; zero means 2.
	CPUs int
	// Timeout is for the whole run, in time that the host's processors give the guest;
	// zero means DefaultTimeout. By the clock it may be Longest(Timeout).
	Timeout time.Duration
	// CountInstructions makes one nanosecond of the guest's clock one instruction,
	// on one CPU: measurements repeat on any host, however busy. It is slower.
	CountInstructions bool
	// Output and Console, when set, receive the command's output and the kernel
	// log while they come, from two goroutines.
	Output, Console io.Writer
}

// Disk is a raw image on the host.
type Disk struct {
	Path     string
	ReadOnly bool
}

// Result is what came of a run.
type Result struct {
	// Stdout and Stderr are what the command wrote; Output is both as they came.
	Stdout, Stderr, Output []byte
	// Console is the kernel log.
	Console []byte
	// ExitCode is the command's; 128 and the signal's number when one ended it,
	// 126 when it could not be started.
	ExitCode int
	// Duration is from the start of the virtual machine to its end.
	Duration time.Duration
	// Processors is the time that it had of the host's processors.
	Processors time.Duration
}

// GuestError is a run without a result. Its text ends with the end of the console.
type GuestError struct {
	// Err wraps ErrTimeout, ErrNoStatus, ErrSetup or what kept QEMU from running.
	Err error
	// Console is the whole kernel log.
	Console []byte
}

// consoleTail is how much of the console an error's text repeats.
const consoleTail = 4 << 10

func (e *GuestError) Error() string {
	tail := e.Console[max(0, len(e.Console)-consoleTail):]
	if len(tail) == 0 {
		return fmt.Sprintf("run guest: %v; its console is empty", e.Err)
	}
	return fmt.Sprintf("run guest: %v; its console ends with:\n%s", e.Err, tail)
}

// Unwrap gives Err.
func (e *GuestError) Unwrap() error { return e.Err }

// Run waits until few enough other guests run, boots the kernel, runs the command, and
// waits for the guest to power off. A
// command that fails is a Result; a guest that fails is a *GuestError, with
// whatever had come by then in the Result.
func Run(ctx context.Context, cfg Config) (Result, error) {
	accel, err := accelerator(ctx)
	if err != nil {
		return Result{}, err
	}
	leave, err := takePlace(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("wait for a place among the guests: %w", err)
	}
	defer leave()
	return run(ctx, cfg, accel)
}
