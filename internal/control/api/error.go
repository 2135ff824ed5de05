package api

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// Error is a refusal as it travels.
type Error struct {
	// Errno is the kernel's symbol, such as ESTALE; never empty.
	Errno string `json:"errno"`
	// Message says what was refused, in one line.
	Message string `json:"message"`
	// Fix says what to do about it; may be empty.
	Fix string `json:"hint"`
	// Forecast is what was refused for; nil for most refusals.
	Forecast *Forecast `json:"preflight,omitempty"`
}

// NewError returns err as it travels.
func NewError(err error) *Error {
	return &Error{Errno: errno.Symbol(err), Message: plain.Error(err), Fix: remedy(err)}
}

// Error returns the message with the symbol behind it.
func (e *Error) Error() string { return e.Message + " [" + e.Errno + "]" }

// Symbol returns Errno.
func (e *Error) Symbol() string { return e.Errno }

// Hint returns Fix, for whoever prints the error.
func (e *Error) Hint() string { return e.Fix }

// trustHint is for a signer whom nobody trusts.
const trustHint = "put the signer's certificate where iped's " + hint.Trust + " looks (/etc/ipe/trust.d for the service), then: systemctl reload iped"

// diskHint is for a state directory that takes nothing.
const diskHint = "make room in the state directory of iped, or mend its file system; " + hint.Permissive + " works without"

// raiseHint is for a profile that is too old.
const raiseHint = "raise profile_version, sign again and load it"

// remedy says what to do about a refusal that has a usual remedy: what the error says of
// itself, or else what is known of its kind.
func remedy(err error) string {
	if h, ok := errors.AsType[hint.Hinter](err); ok {
		return h.Hint()
	}
	for _, r := range []struct {
		err error
		fix string
	}{
		{ErrPrivilege, "run this as root"},
		{ErrExists, "to replace it by a newer version: " + hint.PolicyUpdate + " FILE"},
		{ErrNotFound, hint.PolicyList + " shows the names; " + hint.PolicyLoad + " FILE adds one"},
		{ErrIsActive, "activate another policy first"},
		{ErrOlder, "raise policy_version, sign again and load it"},
		{ErrOtherName, hint.PolicyLoad + " FILE adds a policy of another name"},
		{ErrUnverified, trustHint + "; or load a policy signed anew"},
		{ErrLockout, "change the policy, or try it with " + hint.Permissive + "; " + hint.Force + " does it all the same, and an older ipe cannot say that"},
		{ErrNoForecast, hint.Force + " does it without looking"},
		{ErrNoProfile, hint.ProfileLoad + " FILE loads one"},
		{ErrProfileNotNewer, raiseHint},
		{ErrProfileStale, raiseHint},
		{ErrProfileOlder, raiseHint},
		{ErrNotProfile, "a policy is loaded by " + hint.PolicyLoad},
		{ErrProfileUnverified, trustHint + "; or load a profile signed anew, of a higher version"},
		{sign.ErrUntrusted, trustHint},
		{unix.ENOSPC, diskHint},
		{unix.EROFS, diskHint},
		{sign.ErrMalformed, "a policy is deployed signed: " + hint.PolicySign + " " + hint.Key + " KEY " + hint.Cert + " CERT FILE"},
	} {
		if errors.Is(err, r.err) {
			return r.fix
		}
	}
	if errno.Of(err) == unix.ESTALE {
		return "raise policy_version above the one in force and sign again"
	}
	return ""
}
