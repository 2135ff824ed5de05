// Package errno gives errors the numbers of the kernel's own interface.
//
// A sentinel carries its number: [New] makes one. Those of the public packages, which
// know no system, are in a table here, and nothing else is.
//
// Of all that an error wraps, the first with a number counts, as the message is read
// from left to right: who wraps a cause puts what it means before it. Numbers of the
// system itself, which say least, count only if there is none.
package errno

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// numbered is an error that knows its number.
type numbered interface {
	error
	Errno() syscall.Errno
}

// named is an error from another process, of which only the symbol came along.
type named interface {
	error
	Symbol() string
}

type sentinel struct {
	text   string
	number syscall.Errno
}

// New returns a sentinel that bears the number.
func New(number syscall.Errno, text string) error { return &sentinel{text, number} }

// Error implements error.
func (s *sentinel) Error() string { return s.text }

// Errno is the number.
func (s *sentinel) Errno() syscall.Errno { return s.number }

// public has the sentinels of packages that know no numbers.
var public = []struct {
	err    error
	number syscall.Errno
}{
	{sign.ErrMalformed, unix.EBADMSG},
	{sign.ErrTooLong, unix.EMSGSIZE},
	{sign.ErrUnsupportedForm, unix.EINVAL},
	{sign.ErrRejected, unix.EKEYREJECTED},
	{sign.ErrAlgorithm, unix.ENOPKG},
	{sign.ErrUntrusted, unix.ENOKEY},
	{sign.ErrNoContent, unix.ENODATA},
	{policy.ErrSyntax, unix.EBADMSG},
	{policy.ErrValue, unix.EINVAL},
	{policy.ErrRange, unix.ERANGE},
	{manifest.ErrTooLarge, unix.EFBIG},
}

// Of returns the number of err: 0 for nil, and EIO for anything unknown.
func Of(err error) syscall.Errno {
	number, known := Known(err)
	if !known {
		return unix.EIO
	}
	return number
}

// Known is Of for those who would rather say nothing than EIO.
func Known(err error) (number syscall.Errno, known bool) {
	if err == nil {
		return 0, true
	}
	if number, known = first(err); known {
		return number, true
	}
	if errors.As(err, &number) {
		return number, true
	}
	return 0, false
}

// Symbol returns the name of Of(err), such as EBADMSG, or that which a refusal brought
// along; empty for nil.
func Symbol(err error) string {
	if err == nil {
		return ""
	}
	var refusal named
	if errors.As(err, &refusal) {
		return refusal.Symbol()
	}
	return unix.ErrnoName(Of(err))
}

// KnownSymbol is Symbol for those who would rather say nothing than EIO.
func KnownSymbol(err error) (symbol string, known bool) {
	var refusal named
	if errors.As(err, &refusal) {
		return refusal.Symbol(), true
	}
	number, known := Known(err)
	return unix.ErrnoName(number), known && number != 0
}

// first looks for a number in err and, from left to right, in what it wraps.
func first(err error) (number syscall.Errno, known bool) {
	if n, ok := err.(numbered); ok {
		return n.Errno(), true
	}
	for _, p := range public {
		if err == p.err { //nolint:errorlint // first itself walks what is wrapped, in order
			return p.number, true
		}
	}
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		if cause := w.Unwrap(); cause != nil {
			return first(cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range w.Unwrap() {
			if number, known = first(cause); known {
				return number, true
			}
		}
	}
	return 0, false
}
