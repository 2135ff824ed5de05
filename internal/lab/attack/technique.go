//go:build linux

package attack

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Protections of mappings.
const (
	Readable   = unix.PROT_READ
	Writable   = unix.PROT_READ | unix.PROT_WRITE
	Executable = unix.PROT_READ | unix.PROT_EXEC
	Both       = unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC
)

// MapSelf maps a page of the program that runs.
func MapSelf(protection int) ([]byte, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unix.Mmap(int(f.Fd()), 0, unix.Getpagesize(), protection, unix.MAP_PRIVATE)
}

// A Step is what becomes of a mapping.
type Step struct {
	// Write changes it first.
	Write bool
	// Protection is what it gets then.
	Protection int
}

// Protect maps a page of the program that runs, and takes the steps.
func Protect(first int, steps ...Step) error {
	mem, err := MapSelf(first)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if step.Write {
			mem[100]++
		}
		if err := unix.Mprotect(mem, step.Protection); err != nil {
			return err
		}
	}
	return nil
}

// Open opens a file for a moment.
func Open(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// Call makes a system call.
func Call(number, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// Userfaultfd asks for what fills pages of this process.
func Userfaultfd() error { return Call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0) }

// ReadImpliesExec is the personality that makes what is readable executable.
const ReadImpliesExec = 0x0400000

// MakeReadableExecutable undoes it at once: what Go's runtime maps next would be executable.
func MakeReadableExecutable() error {
	runtime.LockOSThread()
	before, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, ReadImpliesExec, 0, 0)
	if errno != 0 {
		return errno
	}
	_, _, _ = unix.RawSyscall(unix.SYS_PERSONALITY, before, 0, 0)
	return nil
}
