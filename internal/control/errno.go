package control

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/store"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// Refusals of the life cycle itself. Those of signature and text are the
// sentinels of packages sign and policy; a version below the floor that the store
// keeps is a [store.StaleError].
var (
	// ErrExists: a policy of that name is there, active or not. EEXIST.
	ErrExists = errors.New("a policy of that name exists")
	// ErrNotFound: no policy has that name. ENOENT.
	ErrNotFound = errors.New("no such policy")
	// ErrBadName: the name holds a slash, or is "." or "..". EACCES.
	ErrBadName = errors.New("name cannot be that of a directory")
	// ErrNameTooLong: the name is longer than 255 bytes. ENAMETOOLONG.
	ErrNameTooLong = errors.New("name is longer than 255 bytes")
	// ErrOtherName: an update bears another name. EINVAL.
	ErrOtherName = errors.New("update has another policy_name")
	// ErrNotNewer: an update's version is not higher than that of the policy it is
	// to replace. ESTALE.
	ErrNotNewer = errors.New("version of the update is not higher than the present one")
	// ErrOlder: the active policy, of whatever name, has a higher version. EINVAL.
	ErrOlder = errors.New("the active policy has a higher version")
	// ErrIsActive: the active policy cannot be deleted. EPERM.
	ErrIsActive = errors.New("policy is active")
	// ErrUnverified: a stored policy whose signature or text no longer passes. EKEYREJECTED.
	ErrUnverified = errors.New("stored policy no longer verifies")
	// ErrPrivilege: the caller may not ask for this: changes, and decisions that name other
	// users' processes. EPERM.
	ErrPrivilege = errors.New("only root with CAP_MAC_ADMIN may ask for this")
)

// errnos is the one list that gives errors the kernel's numbers. The first entry
// that an error wraps counts.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{ErrPrivilege, unix.EPERM},
	{ErrIsActive, unix.EPERM},
	{ErrExists, unix.EEXIST},
	{ErrNotFound, unix.ENOENT},
	{ErrBadName, unix.EACCES},
	{ErrNameTooLong, unix.ENAMETOOLONG},
	{ErrOtherName, unix.EINVAL},
	{ErrNotNewer, unix.ESTALE},
	{ErrOlder, unix.EINVAL},
	{ErrUnverified, unix.EKEYREJECTED},
	{ErrLockout, unix.ECANCELED},
	{ErrNoForecast, unix.ECANCELED},
	{ErrNoPreflight, unix.EOPNOTSUPP},
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
	{store.ErrExists, unix.EEXIST},
	{store.ErrNotFound, unix.ENOENT},
	{store.ErrActive, unix.EPERM},
	{store.ErrName, unix.ENAMETOOLONG},
	{store.ErrLimit, unix.ENOSPC},
	{store.ErrLocked, unix.EBUSY},
	{store.ErrFormat, unix.EIO},
	{store.ErrCorrupt, unix.EIO},
	{store.ErrFailed, unix.EIO},
}

// Errno returns the number that the kernel's interface gives to err: 0 for nil,
// the number an error of the system itself has, and EIO for anything unknown.
func Errno(err error) syscall.Errno {
	errno, known := KnownErrno(err)
	if !known {
		return unix.EIO
	}
	return errno
}

// KnownErrno is Errno for those who would rather say nothing than EIO.
func KnownErrno(err error) (errno syscall.Errno, known bool) {
	if err == nil {
		return 0, true
	}
	var stale *store.StaleError
	if errors.As(err, &stale) {
		return unix.ESTALE, true
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno, true
		}
	}
	if errors.As(err, &errno) {
		return errno, true
	}
	return 0, false
}

// Symbol returns the name of Errno(err), such as EBADMSG; empty for nil.
func Symbol(err error) string {
	if err == nil {
		return ""
	}
	return unix.ErrnoName(Errno(err))
}
