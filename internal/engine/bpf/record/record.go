// Package record decodes what the BPF programs write: decisions from the ring buffer, and
// from iterators the uses of files. It asks no kernel; each type has the layout of its
// struct in C, in the byte order of this machine.
package record

import (
	"bytes"
	"fmt"
	"io"
	"unsafe"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// view copies the first bytes of raw into a T, which has no padding. It is quicker than
// encoding/binary, and a burst of denials fills the ring buffer quickly.
func view[T any](raw []byte, to *T) error {
	n := sizeOf[T]()
	if len(raw) < n {
		return fmt.Errorf("%d bytes, want %d: %w", len(raw), n, io.ErrUnexpectedEOF)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(to)), n), raw)
	return nil
}

func sizeOf[T any]() int { return int(unsafe.Sizeof(*new(T))) }

// digestOf reads the members that every C struct has for a digest.
func digestOf(alg *[ruletab.AlgSize]byte, sum *[ruletab.SumSize]byte, n uint8) (digest.Digest, error) {
	if int(n) > len(sum) {
		return digest.Digest{}, fmt.Errorf("digest of %d bytes, more than %d", n, len(sum))
	}
	return digest.New(text(alg[:]), sum[:n]), nil
}

// text is a NUL-terminated field as a string.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
