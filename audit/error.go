package audit

import (
	"errors"
	"fmt"
)

var (
	// ErrNotIPE: the line is no record of IPE. It is another type, another
	// security module's MAC_STATUS, the empty second MAC_STATUS that a kernel
	// writes, or no audit record at all. A MAC_STATUS that was cut before its lsm=
	// counts as another's.
	ErrNotIPE = errors.New("not a record of IPE")
	// ErrMalformed: the line claims to be a record of IPE, and is not written as one,
	// or it has words that package policy does not know, such as the operation of
	// BPF programs in the newest kernels.
	ErrMalformed = errors.New("malformed record")
	// ErrTruncated: the line is a record up to its last byte and then ends too
	// early, as the kernel log cuts long ones.
	ErrTruncated = errors.New("truncated record")
)

// SyntaxError is why and where a record could not be read.
type SyntaxError struct {
	// Offset counts the bytes of the line before the place, from 0.
	Offset int
	// Msg says what was wanted there.
	Msg string
	// Err is ErrMalformed or ErrTruncated.
	Err error
}

// Error returns class, place and message.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%v: byte %d: %s", e.Err, e.Offset, e.Msg) }

// Unwrap returns the class.
func (e *SyntaxError) Unwrap() error { return e.Err }
