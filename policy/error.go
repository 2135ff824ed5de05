package policy

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/policy/internal/lex"
)

// The classes of failure. A kernel tells them apart by errno, and so must
// whoever stands in for one.
var (
	// ErrSyntax: the text is no policy. The kernel's EBADMSG.
	ErrSyntax = errors.New("malformed policy")
	// ErrValue: a version or digest is not written in the right digits. EINVAL.
	ErrValue = errors.New("malformed value")
	// ErrRange: a number of the version is over 65535. ERANGE.
	ErrRange = errors.New("number out of range")
)

// SyntaxError is why and where a policy was refused.
type SyntaxError struct {
	// Line and Col count from 1, Col in bytes. Both are 0 if there is no text
	// around the token. LF, CR and CRLF each end a line.
	Line, Col int
	// Token is the refused token; it stands at Line and Col. It is empty if the
	// policy as a whole is at fault.
	Token string
	// Msg says what is wrong and, where the mistake is a usual one, what to write.
	Msg string
	// Err is ErrSyntax, ErrValue or ErrRange.
	Err error
	// Code is the kind of mistake, for programs.
	Code Code
	// Fix is what to write in place of Token, if that is known.
	Fix string
}

// Error returns position, token and message in one line of printable text.
func (e *SyntaxError) Error() string {
	text := e.Msg
	if e.Token != "" {
		text = lex.Quote(e.Token) + ": " + text
	}
	if e.Line == 0 {
		return text
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, text)
}

// Unwrap returns the class of the failure.
func (e *SyntaxError) Unwrap() error { return e.Err }

// refuse returns an error that has no position yet.
func refuse(class error, code Code, format string, args ...any) *SyntaxError {
	return &SyntaxError{Code: code, Msg: fmt.Sprintf(format, args...), Err: class}
}

// mended returns an error of a token that may be meant to be another.
func mended(fix string, code Code, format string, args ...any) *SyntaxError {
	err := refuse(ErrSyntax, code, format, args...)
	err.Fix = fix
	return err
}
