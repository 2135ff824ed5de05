package atomicfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// FS is what this package and its callers ask of a file system. OS is the real
// one; tests put others in its place, which fail or stop at a chosen step.
type FS interface {
	// Create makes a file for writing; one that exists is an error.
	Create(path string, perm fs.FileMode) (File, error)
	// Rename moves a file over another, atomically.
	Rename(from, to string) error
	// Remove removes a file.
	Remove(path string) error
	// Mkdir makes a directory.
	Mkdir(path string, perm fs.FileMode) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(path string) error
}

// File is a file being written. Sync makes its content durable.
type File interface {
	io.WriteCloser
	Sync() error
}

// OS is the file system of the machine.
type OS struct{}

// Create implements FS. It follows no symbolic link in the last component.
func (OS) Create(path string, perm fs.FileMode) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// Mkdir implements FS.
func (OS) Mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

// SyncDir implements FS.
func (OS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Below is a file system that no path leads out of, whatever symbolic links say.
type Below struct{ Root *os.Root }

// Create implements FS.
func (b Below) Create(path string, perm fs.FileMode) (File, error) {
	return b.Root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

// Rename implements FS. A symbolic link in the place of the new name is replaced.
func (b Below) Rename(from, to string) error { return b.Root.Rename(from, to) }

// Remove implements FS.
func (b Below) Remove(path string) error { return b.Root.Remove(path) }

// Mkdir implements FS.
func (b Below) Mkdir(path string, perm fs.FileMode) error { return b.Root.Mkdir(path, perm) }

// SyncDir implements FS.
func (b Below) SyncDir(path string) error {
	d, err := b.Root.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
