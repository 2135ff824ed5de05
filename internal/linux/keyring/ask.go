package keyring

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/sign"
)

// slot is the one slot of the map.
const slot = uint32(0)

// errNotCalled: the program is attached and was not called.
var errNotCalled = errors.New("the kernel did not ask its keyrings: is bpf in its lsm= list, and kernel.ftrace_enabled 1?")

// refusals are the kernel's answers that have a name in package sign.
var refusals = map[syscall.Errno]error{
	unix.EBADMSG:      sign.ErrMalformed,
	unix.EMSGSIZE:     sign.ErrTooLong,
	unix.EINVAL:       sign.ErrUnsupportedForm,
	unix.EKEYREJECTED: sign.ErrRejected,
	unix.ENOPKG:       sign.ErrAlgorithm,
	unix.ENOKEY:       sign.ErrUntrusted,
	unix.ENODATA:      sign.ErrNoContent,
}

// question makes the value that the program reads. Lengths have been checked.
func question(ring uint32, message, content []byte) *verifyQuestion {
	q := &verifyQuestion{Keyring: ring, ContentLen: uint32(len(content)), MessageLen: uint32(len(message))}
	copy(q.Content[:], content)
	copy(q.Message[:], message)
	return q
}

// ask puts one question to the attached program. Nobody but this call can be taken for it: the number is
// random and stands where only root can read it.
func (k *Kernel) ask(q *verifyQuestion) error {
	q.Number = newNumber()
	if err := k.asked.Put(slot, q); err != nil {
		return fmt.Errorf("put question: %w", err)
	}
	call(q.Number)
	if err := k.asked.Lookup(slot, q); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if q.Answered == 0 {
		return errNotCalled
	}
	return refusal(q.Answer)
}

func refusal(answer int32) error {
	if answer == 0 {
		return nil
	}
	errno := syscall.Errno(-answer)
	if known, ok := refusals[errno]; ok {
		return fmt.Errorf("%w (%s)", known, unix.ErrnoName(errno))
	}
	if errno == unix.ENOENT {
		return fmt.Errorf("the kernel lacks an algorithm, or a module of it: %w", errno)
	}
	return errno
}

// newNumber is random and not 0.
func newNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.NativeEndian.Uint64(b[:]) | 1
}

// call makes a bpf(2) call that only asks for the number of a program and whose
// outcome does not matter: on its way the kernel calls the program.
func call(number uint64) {
	const progGetNextID = 11
	_, _, _ = unix.Syscall(unix.SYS_BPF, progGetNextID, uintptr(unsafe.Pointer(&number)), unsafe.Sizeof(number))
}
