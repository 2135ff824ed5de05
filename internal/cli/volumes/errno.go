package volumes

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/errno"
)

// Scripts tell refusals from each other by their numbers, as they do by veritysetup(8)'s
// exit status: doc/veritysetup.md has the table.

// errNoDevice is veritysetup's, which has this number for it.
var errNoDevice = errno.New(unix.ENOTBLK, "neither a regular file nor a block device")

// unfit gives what is read from a superblock a number, if it has none.
type unfit struct{ error }

// Unwrap is for those who look for the cause.
func (u unfit) Unwrap() error { return u.error }

// Errno is EINVAL, but for an error of the device.
func (u unfit) Errno() syscall.Errno {
	if number, known := errno.Known(u.error); known {
		return number
	}
	return unix.EINVAL
}
