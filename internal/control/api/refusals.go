package api

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/policy"
)

// Refusals of the life cycle itself. Those of signature and text are the
// sentinels of packages sign and policy; a version below the floor of its name
// is an error of package store.
var (
	// ErrExists: a policy of that name is there, active or not. EEXIST.
	ErrExists = errno.New(unix.EEXIST, "a policy of that name exists")
	// ErrNotFound: no policy has that name. ENOENT.
	ErrNotFound = errno.New(unix.ENOENT, "no such policy")
	// ErrBadName: the name holds a slash, or is "." or "..". EACCES.
	ErrBadName = errno.New(unix.EACCES, "name cannot be that of a directory")
	// ErrNameTooLong: the name is longer than policy.MaxName. ENAMETOOLONG.
	ErrNameTooLong = errno.New(unix.ENAMETOOLONG, fmt.Sprintf("name is longer than %d bytes", policy.MaxName))
	// ErrOtherName: an update bears another name. EINVAL.
	ErrOtherName = errno.New(unix.EINVAL, "update has another policy_name")
	// ErrNotNewer: an update's version is not higher than that of the policy it is
	// to replace. ESTALE.
	ErrNotNewer = errno.New(unix.ESTALE, "version of the update is not higher than the present one")
	// ErrOlder: the active policy, of whatever name, has a higher version. EINVAL.
	ErrOlder = errno.New(unix.EINVAL, "the active policy has a higher version")
	// ErrIsActive: the active policy cannot be deleted. EPERM.
	ErrIsActive = errno.New(unix.EPERM, "policy is active")
	// ErrUnverified: a stored policy whose signature or text no longer passes. EKEYREJECTED.
	ErrUnverified = errno.New(unix.EKEYREJECTED, "stored policy no longer verifies")
	// ErrPrivilege: the caller may not ask for this: changes, and decisions that name other
	// users' processes. EPERM.
	ErrPrivilege = errno.New(unix.EPERM, "only root with CAP_MAC_ADMIN may ask for this")
)

// Refusals of those who look ahead.
var (
	// ErrLockout: what runs now would be denied. ECANCELED.
	ErrLockout = errno.New(unix.ECANCELED, "what the machine runs now would be denied")
	// ErrNoForecast: nobody can say what would be denied. ECANCELED.
	ErrNoForecast = errno.New(unix.ECANCELED, "cannot tell what would be denied")
	// ErrNoPreflight: this engine cannot look. EOPNOTSUPP.
	ErrNoPreflight = errno.New(unix.EOPNOTSUPP, "preflight works with "+hint.EngineBPF+" only")
)
