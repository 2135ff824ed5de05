package store

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

var (
	// ErrNotFound: no policy of that name is stored.
	ErrNotFound = errno.New(unix.ENOENT, "no such policy")
	// ErrExists: a policy of that name is stored already.
	ErrExists = errno.New(unix.EEXIST, "policy exists")
	// ErrActive: the policy is active and thus cannot be deleted.
	ErrActive = errno.New(unix.EPERM, "policy is active")
	// ErrName: a policy name is empty or longer than policy.MaxName.
	ErrName = errno.New(unix.ENAMETOOLONG, "unusable policy name")
	// ErrLimit: the store or the envelope would exceed a limit.
	ErrLimit = errno.New(unix.ENOSPC, "limit reached")
	// ErrLocked: another process holds the store.
	ErrLocked = errno.New(unix.EBUSY, "store is in use by another process")
	// ErrCorrupt: something in the store's directory is not as this package left it.
	ErrCorrupt = errno.New(unix.EIO, "store is damaged")
	// ErrFormat: the store has a format that this program does not know.
	ErrFormat = errno.New(unix.EIO, "unknown store format")
	// ErrFailed: the disk failed at a moment that leaves it open which of two
	// states a restart will find, or when the store was opened. Nothing can be
	// changed until the store is opened again; until then the former state is shown.
	ErrFailed = errno.New(unix.EIO, "the state directory takes no change until the next start, because an earlier attempt failed")
)

// StaleError says that a version is below its policy's floor.
type StaleError struct {
	Name string
	// Have is the floor, Got the refused version.
	Have, Got policy.Version
}

// Error implements error.
func (e *StaleError) Error() string {
	return fmt.Sprintf("version %v of policy %s is below its floor %v: versions before the last active one are refused, also after a reboot", e.Got, plain.Name(e.Name), e.Have)
}

// Errno is ESTALE.
func (*StaleError) Errno() syscall.Errno { return unix.ESTALE }

// errFloorsLost: neither the index nor its second copy is good.
var errFloorsLost = errors.New("what was active, the mode and the version floors are lost, older versions are accepted again")

// repair is what to do then.
const repair = "restore the store's directory from a backup, or deploy anew what was in it"

// corrupt says what is wrong with which file.
func corrupt(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %w", path, fmt.Errorf(format, args...), ErrCorrupt)
}
