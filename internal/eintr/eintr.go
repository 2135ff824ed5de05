// Package eintr repeats system calls that a signal interrupted. Go's runtime sends
// signals to its own threads whenever it likes, and asks for calls to be restarted; poll(2),
// ioctls of terminals and what a FUSE server answers are not, whatever is asked: signal(7).
package eintr

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Again makes the call until it ends with something else than EINTR.
func Again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
