// Package atomicfile replaces files so that a crash at any moment
// leaves the old state or the new one, whole, and so that what was reported
// done stays done after a power cut: write aside, fsync, rename, fsync the
// directory.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrUnsynced: the change has taken place, but may not survive a power cut,
// because the directory could not be written back.
var ErrUnsynced = errors.New("done, but perhaps not durable")

// tempSuffix ends the names of files that are being written.
const tempSuffix = ".tmp"

// Write replaces the file at path, or creates it, with data and permissions perm
// (before umask). The file is written beside path under a name that IsTemp
// knows. After an error path is unchanged, unless the error wraps ErrUnsynced.
func Write(fsys FS, path string, data []byte, perm fs.FileMode) error {
	temp := TempName(path)
	err := writeSynced(fsys, temp, data, perm)
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(Reason(err, temp), discard(fsys, temp)))
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w: %w", path, ErrUnsynced, err)
	}
	return nil
}

// Mkdir makes a directory that survives a power cut. One that is there is an error that
// wraps fs.ErrExist. After an error there is none, unless the error wraps ErrUnsynced.
func Mkdir(fsys FS, path string, perm fs.FileMode) error {
	if err := fsys.Mkdir(path, perm); err != nil {
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make directory %s: %w: %w", path, ErrUnsynced, err)
	}
	return nil
}

// TempName is a new name beside path, which IsTemp knows.
func TempName(path string) string { return path + "." + rand.Text()[:8] + tempSuffix }

// Reason is an error of the file temp, a TempName, without the name: the user gave another,
// and has found none. Errors of other files are as they were.
func Reason(err error, temp string) error {
	var (
		file *fs.PathError
		link *os.LinkError
	)
	switch {
	case errors.As(err, &file) && file.Path == temp && strings.HasPrefix(file.Op, "open"):
		return fmt.Errorf("make a file beside it: %w", file.Err)
	case errors.As(err, &file) && file.Path == temp:
		return file.Err
	case errors.As(err, &link) && link.Old == temp:
		return link.Err
	}
	return err
}

// IsTemp reports whether a file's name is one that Write leaves behind when the
// process dies before the rename. Such files hold nothing of worth.
func IsTemp(name string) bool { return strings.HasSuffix(name, tempSuffix) }

func writeSynced(fsys FS, path string, data []byte, perm fs.FileMode) error {
	f, err := fsys.Create(path, perm)
	if err != nil {
		return err
	}
	if err := fill(f, data); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func fill(f File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// discard removes what a failed Write left, if anything.
func discard(fsys FS, temp string) error {
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Reason(err, temp)
	}
	return nil
}
