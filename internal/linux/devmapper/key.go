package devmapper

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// MaxSignature is the largest signature that fits a key of type user, in bytes
// (user_preparse in security/keys/user_defined.c).
const MaxSignature = 32767

// withKey calls do while the thread has a key of type user that holds data; dm-verity
// looks for it in the keyrings of the thread that loads the table. That is the
// narrowest of them all: nobody else sees the key, and it cannot outlive the thread.
func withKey(description string, data []byte, do func() error) (err error) {
	if len(data) == 0 || len(data) > MaxSignature {
		return fmt.Errorf("%w: signature of %d bytes, not of 1 to %d", ErrParams, len(data), MaxSignature)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := unix.AddKey("user", description, data, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return fmt.Errorf("add key with signature: %w", err)
	}
	defer func() {
		if _, e := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_THREAD_KEYRING, 0, 0); e != nil {
			err = errors.Join(err, fmt.Errorf("remove key with signature: %w", e))
		}
	}()
	return do()
}
