package record

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"structs"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// Bits of what the iterators say (HAS_FILE, UNLINKED).
const (
	useHasFile = 1 << iota
	useUnlinked
)

// minorBits is how many bits of a device's number in the kernel are its minor number.
const minorBits = 20

// bufferSize is how much is read at once: what the kernel has at most.
const bufferSize = 32 << 10

// use is struct use of bpf/survey.bpf.c.
type use struct {
	_     structs.HostLayout
	From  uint64
	To    uint64
	Ino   uint64
	Dev   uint32
	Pid   uint32
	Fd    uint32
	Kind  uint32
	Flags uint32
	_     uint32
	Comm  [16]uint8
	Facts facts
}

// facts is struct facts of bpf/evidence.h.
type facts struct {
	_       uint32 // which of them are known: here all
	Present uint32
	Root    ruletab.Key
	File    ruletab.Key
}

// Uses reads what an iterator of bpf/survey.bpf.c says, to its end.
func Uses(r io.Reader) (uses []engine.Use, err error) {
	err = each(r, func(u *use) error {
		decoded, err := u.decode()
		uses = append(uses, decoded)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read uses of files: %w", err)
	}
	return uses, nil
}

// each reads one T after the other.
func each[T any](r io.Reader, fn func(*T) error) error {
	in := bufio.NewReaderSize(r, bufferSize)
	var one T
	for raw := make([]byte, sizeOf[T]()); ; {
		switch _, err := io.ReadFull(in, raw); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := view(raw, &one); err != nil {
			return err
		}
		if err := fn(&one); err != nil {
			return err
		}
	}
}

func (u *use) decode() (engine.Use, error) {
	use := engine.Use{
		Kind: engine.UseKind(u.Kind), PID: u.Pid, Comm: text(u.Comm[:]), File: u.Fd, From: u.From, To: u.To,
		HasFile: u.Flags&useHasFile != 0, Unlinked: u.Flags&useUnlinked != 0,
		Major: u.Dev >> minorBits, Minor: u.Dev & (1<<minorBits - 1), Inode: u.Ino,
		Evidence: ruletab.Event(0, 0, u.Facts.Present).Evidence,
	}
	var err error
	if u.Facts.Present&ruletab.NeedRoot != 0 {
		if use.Evidence.RootHash, err = digestOf(&u.Facts.Root.Alg, &u.Facts.Root.Sum, u.Facts.Root.Len); err != nil {
			return use, fmt.Errorf("root hash: %w", err)
		}
	}
	if u.Facts.Present&ruletab.NeedFile != 0 {
		if use.Evidence.FileDigest, err = digestOf(&u.Facts.File.Alg, &u.Facts.File.Sum, u.Facts.File.Len); err != nil {
			return use, fmt.Errorf("file digest: %w", err)
		}
	}
	return use, nil
}
