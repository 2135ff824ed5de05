package abi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Attempt is what came of loading one small program, which is thrown away at once.
type Attempt struct {
	// Compiled: the kernel made machine code of it.
	Compiled bool
	// Log is the verifier's.
	Log string
	// Err is nil if the kernel took the program.
	Err error
}

// errNoHook: there is no hook for which a program could be loaded.
var errNoHook = errors.New("the kernel's BTF has no attach points")

// attempt loads a program of the kind that the engine loads.
func (s *System) attempt(k kernelBTF, program asm.Instructions) Attempt {
	if s.Load != nil {
		return s.Load(program)
	}
	for _, t := range k.types(anyBPFLSMAttach) {
		if _, ok := t.(*btf.Func); !ok {
			continue
		}
		id, err := k.spec.TypeID(t)
		if err != nil {
			return Attempt{Err: err}
		}
		return loadProgram(uint32(id), program)
	}
	return Attempt{Err: errNoHook}
}

// Of include/uapi/linux/bpf.h.
const (
	cmdMapCreate = 0
	cmdProgLoad  = 5
	cmdInfo      = 15
	typeLSM      = 29
	attachLSM    = 27
	logBytes     = 16 << 10
)

// maxInterrupted bounds how often a load is begun again because a signal came: the verifier
// ends with EAGAIN then (do_check, kernel/bpf/verifier.c), and Go's own signals are enough.
// A small program takes microseconds, so that none meets so many but on purpose.
const maxInterrupted = 1000

// loadAttr is the part of union bpf_attr that BPF_PROG_LOAD needs.
type loadAttr struct {
	progType, insnCount uint32
	insns, license      uint64
	logLevel, logSize   uint32
	logBuf              uint64
	version, flags      uint32
	name                [16]byte
	ifindex, attachType uint32
	btfFD, funcInfoSize uint32
	funcInfo            uint64
	funcInfos, lineSize uint32
	lineInfo            uint64
	lineInfos           uint32
	attachBTF           uint32
	attachFD, reserved  uint32
}

// loadProgram is not the library's: that has its own ways round what a kernel refuses.
func loadProgram(hook uint32, program asm.Instructions) Attempt {
	var code bytes.Buffer
	if err := program.Marshal(&code, nativeOrder()); err != nil {
		return Attempt{Err: err}
	}
	insns, license, log := code.Bytes(), []byte("GPL\x00"), make([]byte, logBytes)
	attr := loadAttr{
		progType: typeLSM, attachType: attachLSM, attachBTF: hook,
		insnCount: uint32(len(insns) / asm.InstructionSize), insns: address(insns),
		license: address(license), logLevel: 1, logSize: logBytes, logBuf: address(log),
	}
	fd, err := bpfSyscall(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	for again := 0; errors.Is(err, unix.EAGAIN) && again < maxInterrupted; again++ {
		fd, err = bpfSyscall(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	}
	runtime.KeepAlive(insns)
	runtime.KeepAlive(license)
	text, _, _ := bytes.Cut(log, []byte{0})
	a := Attempt{Log: string(text), Err: err}
	if err != nil {
		return a
	}
	defer unix.Close(fd)
	a.Compiled, a.Err = isCompiled(fd)
	return a
}

// nativeOrder is this machine's, as one of the two that the library knows.
func nativeOrder() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// isCompiled asks for the length of a program's machine code.
func isCompiled(fd int) (bool, error) {
	var info struct {
		kind, id      uint32
		tag           [8]byte
		compiled, raw uint32
		pointers      [2]uint64
	}
	attr := struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), uint32(unsafe.Sizeof(info)), uint64(uintptr(unsafe.Pointer(&info)))}
	_, err := bpfSyscall(cmdInfo, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&info)
	return info.compiled > 0, err
}

// mapAttr is the part of union bpf_attr that BPF_MAP_CREATE needs.
type mapAttr struct {
	kind, keySize, valueSize, entries, flags, inner uint32
}

// makeMaps makes one map of each kind that the programs have, and throws it away.
func (s *System) makeMaps() error {
	if s.Maps != nil {
		return s.Maps()
	}
	const hash, array, arrayOfMaps, ringbuf = 1, 2, 12, 27
	inner := -1
	for _, m := range []struct {
		name string
		attr mapAttr
	}{
		{"hash", mapAttr{kind: hash, keySize: 8, valueSize: 8, entries: 1}},
		{"array", mapAttr{kind: array, keySize: 4, valueSize: 8, entries: 1}},
		{"array of maps", mapAttr{kind: arrayOfMaps, keySize: 4, valueSize: 4, entries: 1}},
		{"ring buffer", mapAttr{kind: ringbuf, entries: uint32(unix.Getpagesize())}},
	} {
		if m.attr.kind == arrayOfMaps {
			m.attr.inner = uint32(inner)
		}
		fd, err := bpfSyscall(cmdMapCreate, unsafe.Pointer(&m.attr), unsafe.Sizeof(m.attr))
		if err != nil {
			return fmt.Errorf("make a map, %s: %w", m.name, err)
		}
		defer unix.Close(fd)
		inner = fd
	}
	return nil
}

func bpfSyscall(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }
