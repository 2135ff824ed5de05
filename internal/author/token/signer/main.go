//go:build cgo

package signer

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/ipe-linux/ipe/internal/hint"
)

// Main is the program: it serves standard input and output, and returns the exit
// code. A module that prints gets standard error, and one that reads gets nothing, so
// that neither spoils the protocol.
func Main() int {
	if term.IsTerminal(0) || len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "ipe-pkcs11 is started by ipe, for keys on tokens: see "+hint.Key+" in ipe(1)")
		return 2
	}
	in, out, err := takeOver()
	if err == nil {
		err = Serve(in, out)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "ipe-pkcs11: %v\n", err)
		return 1
	}
	return 0
}

// takeOver moves standard input and output to where a module does not know them. It
// also sees to it that a crash leaves no memory image with the PIN.
func takeOver() (in, out *os.File, err error) {
	if err := forbidDumps(); err != nil {
		return nil, nil, err
	}
	if in, err = moved(0, "requests"); err != nil {
		return nil, nil, err
	}
	if out, err = moved(1, "replies"); err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), 0, 0); err != nil {
		return nil, nil, fmt.Errorf("close standard input: %w", err)
	}
	if err := unix.Dup3(2, 1, 0); err != nil {
		return nil, nil, fmt.Errorf("close standard output: %w", err)
	}
	return in, out, nil
}

// forbidDumps lets nobody have the memory of this process. A limit on core files would
// not do: the kernel gives those to a program in core_pattern whatever it is (core(5)).
// Other processes of the same user are kept from tracing this one, too.
func forbidDumps() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid memory images: %w", err)
	}
	return nil
}

func moved(fd int, name string) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor %d: %w", fd, err)
	}
	return os.NewFile(uintptr(n), name), nil
}
