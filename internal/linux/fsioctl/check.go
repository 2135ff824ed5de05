//go:build linux

package fsioctl

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/verity/fsverity"
)

// Check says what would keep Enable from its work, as far as that can be known without
// trying: it changes nothing. Errors are Enable's. A signature is looked at no further
// than its length.
func Check(f *os.File, p fsverity.Params, signature []byte) error {
	arg, err := request(p)
	if err != nil {
		return err
	}
	q, at := question{int(arg.Block_size), len(signature)}, look(f)
	refuse := func(errno unix.Errno) error { return explain(opEnable, errno, q, at) }
	_, err = Measure(f)
	var e *Error
	switch {
	case err == nil:
		return refuse(unix.EEXIST)
	case at.directory:
		return refuse(unix.EISDIR)
	case errors.As(err, &e) && !errors.Is(err, ErrNotEnabled):
		return refuse(e.Errno)
	}
	err = unix.Faccessat2(int(f.Fd()), "", unix.W_OK, unix.AT_EACCESS|unix.AT_EMPTY_PATH)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		return refuse(errno)
	case q.signature > MaxSignature:
		return refuse(unix.EMSGSIZE)
	case q.signature == 0 && at.needSignatures:
		return refuse(unix.EPERM)
	}
	if bad := explain(opEnable, unix.EINVAL, q, at); bad.Kind != nil {
		return bad
	}
	return nil
}
