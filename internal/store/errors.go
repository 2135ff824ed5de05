package store

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/policy"
)

var (
	// ErrNotFound: no policy of that name is stored.
	ErrNotFound = errors.New("no such policy")
	// ErrExists: a policy of that name is stored already.
	ErrExists = errors.New("policy exists")
	// ErrActive: the policy is active and thus cannot be deleted.
	ErrActive = errors.New("policy is active")
	// ErrName: a policy name is empty or longer than MaxName.
	ErrName = errors.New("unusable policy name")
	// ErrLimit: the store or the envelope would exceed a limit.
	ErrLimit = errors.New("limit reached")
	// ErrLocked: another process holds the store.
	ErrLocked = errors.New("store is in use by another process")
	// ErrCorrupt: something in the store's directory is not as this package left it.
	ErrCorrupt = errors.New("store is damaged")
	// ErrFormat: the store has a format that this program does not know.
	ErrFormat = errors.New("unknown store format")
	// ErrFailed: the disk failed at a moment that leaves it open which of two
	// states a restart will find, or when the store was opened. Nothing can be
	// changed until the store is opened again; until then the former state is shown.
	ErrFailed = errors.New("the state directory takes no change until the next start, because an earlier attempt failed")
)

// StaleError says that a version is below its policy's floor.
type StaleError struct {
	Name string
	// Have is the floor, Got the refused version.
	Have, Got policy.Version
}

// Error implements error.
func (e *StaleError) Error() string {
	return fmt.Sprintf("version %v of policy %q is below its floor %v: versions before the last active one are refused, also after a reboot", e.Got, e.Name, e.Have)
}

// errFloorsLost: neither the index nor its second copy is good.
var errFloorsLost = errors.New("which policy was active, the mode and the version floors are lost, older versions are accepted again")

// repair is what to do then.
const repair = "restore the store's directory from a backup, or deploy the policies anew"

// corrupt says what is wrong with which file.
func corrupt(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %w", path, fmt.Errorf(format, args...), ErrCorrupt)
}
