//go:build linux

package fsioctl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What is asked of the kernel, as errors name it.
const (
	opEnable     = "enable fs-verity"
	opMeasure    = "measure"
	opDescriptor = "read fs-verity descriptor"
	opSignature  = "read fs-verity signature"
)

// Kinds of refusal.
var (
	// ErrEnabled: it is enabled already; that cannot be done twice, nor undone.
	ErrEnabled = errors.New("fs-verity is enabled already")
	// ErrNotEnabled: it could be enabled and is not.
	ErrNotEnabled = errors.New("fs-verity is not enabled")
	// ErrNoSignature: the file has fs-verity, and no built-in signature.
	ErrNoSignature = errors.New("no built-in signature")
	// ErrUnsupported: kernel or file system do not have it.
	ErrUnsupported = errors.New("no fs-verity here")
	// ErrInUse: somebody has the file open for writing, or is enabling it just now.
	ErrInUse = errors.New("the file is in use")
	// ErrNotRegular: only regular files can have fs-verity.
	ErrNotRegular = errors.New("not a regular file")
	// ErrRefusedParams: the format has such parameters, and this kernel or file system
	// does not take them.
	ErrRefusedParams = errors.New("parameters not taken here")
	// ErrSignature: the built-in signature is not one of this file with these parameters.
	ErrSignature = errors.New("the signature is not good")
	// ErrKey: the signer is not one whom the keyring .fs-verity knows.
	ErrKey = errors.New("the signer is not trusted")
	// ErrSignatureNeeded: the kernel takes no file without a signature.
	ErrSignatureNeeded = errors.New("a signature is required")
)

// Error is what the kernel answered, and what that means.
type Error struct {
	Op string
	// Kind is one of the errors above, or nil where the number says it all.
	Kind error
	// Detail says more, where more is known.
	Detail string
	// Errno is the kernel's number. It is there for the meaning of its own, too: it is
	// fs.ErrPermission, for example.
	Errno unix.Errno

	hint string
}

func (e *Error) Error() string {
	text := e.Op + ": "
	if e.Kind != nil {
		text += e.Kind.Error() + ": "
	}
	if e.Detail != "" {
		text += e.Detail + ": "
	}
	return text + e.Errno.Error()
}

// Unwrap gives Kind and Errno.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Errno}
	}
	return []error{e.Kind, e.Errno}
}

// Hint says what can be done, "" if nothing is known.
func (e *Error) Hint() string { return e.hint }

func (e *Error) because(kind error, format string, args ...any) *Error {
	e.Kind, e.Detail = kind, fmt.Sprintf(format, args...)
	return e
}

func (e *Error) hinted(format string, args ...any) *Error {
	e.hint = fmt.Sprintf(format, args...)
	return e
}
