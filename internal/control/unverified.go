package control

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/sign"
)

// unverifiedError is an api.ErrUnverified with its cause.
type unverifiedError struct{ cause error }

// Error implements error.
func (e *unverifiedError) Error() string { return fmt.Sprintf("%v: %v", api.ErrUnverified, e.cause) }

// Unwrap returns both.
func (e *unverifiedError) Unwrap() []error { return []error{api.ErrUnverified, e.cause} }

// Errno is that of api.ErrUnverified, unless the cause says more: that the version is too old,
// or the name another.
func (e *unverifiedError) Errno() syscall.Errno {
	var stale *store.StaleError
	if errors.As(e.cause, &stale) || errors.Is(e.cause, api.ErrOtherName) {
		return errno.Of(e.cause)
	}
	return errno.Of(api.ErrUnverified)
}

// unverified says that a stored policy cannot be used, and what to do about it.
func unverified(err error) error {
	if errors.Is(err, sign.ErrUntrusted) {
		return fmt.Errorf("%w; when its certificate is among the trusted ones again, systemctl reload iped", &unverifiedError{err})
	}
	return &unverifiedError{err}
}
