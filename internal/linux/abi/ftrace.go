package abi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// FtraceSysctl is the file of the sysctl with which the kernel calls programs on LSM
// hooks or does not: it calls them by way of ftrace.
const FtraceSysctl = "/proc/sys/kernel/ftrace_enabled"

// FtraceOff reports whether the kernel calls no program on an LSM hook, though they are
// attached. A kernel without that sysctl always calls them.
func FtraceOff() (bool, error) { return (&System{}).ftraceOff() }

func (s *System) ftraceOff() (bool, error) {
	text, err := s.read(FtraceSysctl)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s: %w", FtraceSysctl, reason(err))
	}
	return text == "0", nil
}

// HasFtraceSysctl reports whether this kernel has the sysctl.
func HasFtraceSysctl() bool {
	_, err := os.Lstat(FtraceSysctl)
	return !errors.Is(err, fs.ErrNotExist)
}

// lookFtrace never says no of the engine: iped sets it to 1 when it starts.
func lookFtrace(s *System, _ kernelBTF) finding {
	const fix = "sysctl kernel.ftrace_enabled=1; iped does it when it starts, and then refuses every other value"
	off, err := s.ftraceOff()
	switch {
	case err != nil:
		return unknown(err.Error(), "mount /proc")
	case off:
		return no("kernel.ftrace_enabled is 0: the kernel calls no program on a security hook", fix)
	case !s.exists(FtraceSysctl):
		return yes("this kernel cannot switch it off")
	}
	return yes("kernel.ftrace_enabled is 1; iped refuses every other value")
}
