package ui

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/atomicfile"
	"github.com/ipe-linux/ipe/internal/plain"
)

// maxInput bounds what is read of one file. A kernel takes 64 KiB at most; texts
// and texts with many comments may be larger.
const maxInput = 16 << 20

// Read returns the content of a file, or of standard input for "-", which is its
// name in errors, too. One that is larger than maxInput gives EFBIG.
func (u *UI) Read(name string) ([]byte, error) { return u.ReadUpTo(name, maxInput) }

// ReadUpTo is Read with another limit, in bytes.
func (u *UI) ReadUpTo(name string, limit int64) ([]byte, error) {
	r, err := u.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", plain.Name(name), err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: %w (more than %d bytes)", plain.Name(name), unix.EFBIG, limit)
	}
	return b, nil
}

// Open opens a file, or standard input for "-".
func (u *UI) Open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(u.stdin), nil
	}
	return os.Open(name)
}

// Rewrite replaces an existing file atomically and keeps its permissions. A
// symbolic link is followed, so that the file it leads to is what changes. What
// is no regular file is refused: a rename would put one in its place.
func Rewrite(name string, data []byte) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	st, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("write %s: not a regular file", plain.Name(name))
	}
	return atomicfile.Write(atomicfile.OS{}, target, data, st.Mode().Perm())
}

// Create writes a result: to a new file, or in the place of a regular one, whole
// or not at all. A device or a pipe is written to and stays what it is.
func Create(name string, data []byte) error {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return atomicfile.Write(atomicfile.OS{}, name, data, 0o644)
	case err != nil:
		return err
	case st.Mode().IsRegular():
		return Rewrite(name, data)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// MayCreate says why Create could not write such a file, as far as that can be told before
// there is anything to write.
func MayCreate(name string) error {
	st, err := os.Stat(name)
	target := name
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case st.IsDir():
		return &fs.PathError{Op: "write", Path: name, Err: unix.EISDIR}
	case !st.Mode().IsRegular():
		return access(name, name, unix.W_OK)
	default: // it is replaced in its directory
		if target, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
	}
	return access(name, filepath.Dir(target), unix.W_OK|unix.X_OK)
}

// access asks for rights on a path, for the sake of the file name.
func access(name, path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}

// SameFile reports whether both names are those of one existing file.
func SameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
