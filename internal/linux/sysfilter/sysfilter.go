//go:build linux

// Package sysfilter takes system calls away from the process that calls Install, from
// all its threads and from what it executes: a mistake in the daemon must not become
// more than it has to. It refuses what the daemon never needs and lets the rest pass; a
// list of what it needs would break with each new release of the language or the kernel.
//
// A service manager could do the same before it executes the program. It is done here,
// so that the process carries no filter but its own.
package sysfilter

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// ErrProcessor says that nobody has written down the system calls of this processor.
var ErrProcessor = errors.New("no system-call filter for processor " + runtime.GOARCH)

// Install takes the calls away for good. Set-user-ID programs gain nothing from then on.
func Install() error {
	program, err := assemble()
	if err != nil {
		return fmt.Errorf("install system-call filter: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("install system-call filter: no new privileges: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	switch {
	case errno != 0:
		return fmt.Errorf("install system-call filter: %w", errno)
	case thread != 0:
		return fmt.Errorf("install system-call filter: thread %d has another one", thread)
	}
	return nil
}

func assemble() ([]bpf.RawInstruction, error) {
	if processor == 0 {
		return nil, ErrProcessor
	}
	return bpf.Assemble(instructions(append(everywhere(), here()...)))
}

// A rule refuses one system call, or some uses of it.
type rule struct {
	call  uintptr
	errno unix.Errno
	when  condition // nil for always
}

// A condition judges one argument, of which the kernel uses the low 32 bits.
type condition interface {
	// refuses begins with the argument loaded, and ends by refusing with the one
	// instruction or going on with the other.
	refuses(refuse, pass bpf.Instruction) []bpf.Instruction
	argument() uint32
}

// hasBits refuses if one of the bits is set.
type hasBits struct{ arg, bits uint32 }

func (h hasBits) argument() uint32 { return h.arg }

func (h hasBits) refuses(refuse, pass bpf.Instruction) []bpf.Instruction {
	return []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: h.bits, SkipFalse: 1}, refuse, pass}
}

// isNone refuses if the argument is none of the values.
type isNone struct {
	arg    uint32
	values []uint32
}

func (n isNone) argument() uint32 { return n.arg }

func (n isNone) refuses(refuse, pass bpf.Instruction) []bpf.Instruction {
	var all []bpf.Instruction
	for _, v := range n.values {
		all = append(all, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, pass)
	}
	return append(all, refuse)
}

// Where struct seccomp_data has its members.
const (
	offsetCall      = 0
	offsetProcessor = 4
	offsetArguments = 16
	argumentSize    = 8
	wordSize        = 4
)

// Answers of a filter.
const (
	retAllow = 0x7fff0000
	retErrno = 0x00050000
)

// instructions is the filter: first what is no system call of this processor's own kind,
// then rule by rule.
func instructions(rules []rule) []bpf.Instruction {
	refuse := func(e unix.Errno) bpf.Instruction { return bpf.RetConstant{Val: retErrno | uint32(e)} }
	pass := bpf.RetConstant{Val: retAllow}
	all := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetProcessor, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: processor, SkipTrue: 1},
		refuse(unix.ENOSYS),
		bpf.LoadAbsolute{Off: offsetCall, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: firstForeign, SkipTrue: 1},
		refuse(unix.ENOSYS),
	}
	for _, r := range rules {
		body := []bpf.Instruction{refuse(r.errno)}
		if r.when != nil {
			load := bpf.LoadAbsolute{Off: offsetArguments + argumentSize*r.when.argument(), Size: wordSize}
			body = append([]bpf.Instruction{load}, r.when.refuses(refuse(r.errno), pass)...)
		}
		all = append(all, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(r.call), SkipTrue: uint8(len(body))})
		all = append(all, body...)
	}
	return append(all, pass)
}
