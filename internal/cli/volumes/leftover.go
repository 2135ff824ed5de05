package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
)

// output is a file or a device that is written in place, piece by piece. A command that
// fails leaves nothing of it behind: no file that it made, and no file longer than before.
type output struct {
	*os.File
	made    bool
	size    int64       // when it was opened
	touched atomic.Bool // something was written where something was
}

// WriteAt implements [io.WriterAt].
func (o *output) WriteAt(b []byte, at int64) (int, error) {
	if at < o.size {
		o.touched.Store(true)
	}
	return o.File.WriteAt(b, at)
}

// room wants what ends there to fit: a device does not grow.
func (o *output) room(what string, end int64) error {
	st, err := o.Stat()
	if err != nil || st.Mode().IsRegular() || end <= o.size {
		return err
	}
	return fmt.Errorf("%s ends at %d, behind the %d bytes of %s: %w", what, end, o.size, plain.Name(o.Name()), unix.ENOSPC)
}

// openOutput opens it for reading and writing, and makes a file if there is none.
func openOutput(name string) (*output, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return &output{File: f, made: true}, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o600); err != nil {
		return nil, err
	}
	size, err := sizeOf(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &output{File: f, size: size}, nil
}

// end closes o, after a command that ended with err.
func (o *output) end(err error) error {
	if err != nil {
		err = errors.Join(err, o.undo())
	}
	return closing(err, o.File)
}

func (o *output) undo() error {
	st, err := o.Stat()
	switch {
	case err != nil || !st.Mode().IsRegular():
		return err
	case o.made:
		return removeIf(o.Name(), st)
	case st.Size() > o.size:
		return o.Truncate(o.size)
	}
	return nil
}

// removeIf removes a name if it is still that of this file.
func removeIf(name string, file os.FileInfo) error {
	if st, err := os.Lstat(name); err != nil || !os.SameFile(st, file) {
		return nil
	}
	return os.Remove(name)
}
