package measure

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// whole writes a file that is too large to be in memory: to a new file, or in the place of
// a regular one, whole or not at all. A device or a pipe is written to and stays what it
// is.
func whole(name string, write func(*os.File) error) error {
	target, perm := name, fs.FileMode(0o644)
	if st, err := os.Stat(name); err == nil {
		if !st.Mode().IsRegular() {
			return into(name, os.O_RDWR, 0, write)
		}
		if target, err = filepath.EvalSymlinks(name); err != nil {
			return err
		}
		perm = st.Mode().Perm()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := atomicfile.TempName(target)
	err := into(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm, func(f *os.File) error {
		return errors.Join(write(f), f.Sync())
	})
	if err == nil {
		err = os.Rename(temp, target)
	}
	if err != nil {
		_ = os.Remove(temp) // there is none if it could not be made
	}
	if reason := atomicfile.Reason(err, temp); reason != err { //nolint:errorlint // whether it is the same, not what it is about
		return &fs.PathError{Op: "write", Path: name, Err: reason}
	}
	return err
}

func into(name string, flags int, perm fs.FileMode, write func(*os.File) error) error {
	f, err := os.OpenFile(name, flags, perm)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
