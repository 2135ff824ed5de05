// Package storetest puts a file system under a store that fails, or loses power,
// at a chosen step. It works on real directories, so that a test can look at
// what was left with ordinary means, and knows which changes were not synced.
package storetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// ErrFault is what the chosen step fails with.
var ErrFault = errors.New("injected fault")

// Keep says what a disk has kept, when power is cut, of changes that were not synced.
type Keep int

const (
	// KeepNothing: neither content nor names.
	KeepNothing Keep = iota
	// KeepNames: new names, but no content: the state that a missing fsync shows.
	KeepNames
	// KeepAll: everything, as if it had been synced.
	KeepAll
)

// Disk is an atomicfile.FS over real directories. It counts steps, of which each
// call is one.
type Disk struct {
	steps   int
	faultAt int
	crash   bool
	// names undo changes to directories that are not synced, oldest first.
	names []nameChange
	// written are files with content that is not synced.
	written map[string]bool
}

type nameChange struct {
	dir  string
	undo func() error
}

// FailAt returns a Disk whose step number n, from 1, fails; later ones succeed.
func FailAt(n int) *Disk { return &Disk{faultAt: n, written: map[string]bool{}} }

// Healthy returns a Disk that never fails. It is faster than the real file
// system, for it syncs nothing.
func Healthy() *Disk { return FailAt(0) }

// CrashAt returns a Disk that does nothing any more from step number n on.
func CrashAt(n int) *Disk { return &Disk{faultAt: n, crash: true, written: map[string]bool{}} }

// step counts a step and says whether it fails.
func (d *Disk) step() error {
	d.steps++
	if d.steps == d.faultAt || d.crash && d.steps > d.faultAt {
		return ErrFault
	}
	return nil
}

// Faulted reports whether the chosen step was reached.
func (d *Disk) Faulted() bool { return d.steps >= d.faultAt }

// Restart ends the crash of a process: the machine runs on, and what was not
// synced is still to be seen, and still to be lost.
func (d *Disk) Restart() { d.faultAt, d.crash = 0, false }

// PowerCut changes the directories to what the disk has kept. The Disk must not
// be used afterwards.
func (d *Disk) PowerCut(t testing.TB, keep Keep) {
	t.Helper()
	if keep == KeepAll {
		return
	}
	for path := range d.written {
		if err := os.Truncate(path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if keep == KeepNames {
		return
	}
	for i := len(d.names) - 1; i >= 0; i-- {
		if err := d.names[i].undo(); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *Disk) changed(path string, undo func() error) {
	d.names = append(d.names, nameChange{filepath.Dir(path), undo})
}

// Create implements atomicfile.FS.
func (d *Disk) Create(path string, perm fs.FileMode) (atomicfile.File, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	f, err := atomicfile.OS{}.Create(path, perm)
	if err != nil {
		return nil, err
	}
	d.changed(path, func() error { return os.Remove(path) })
	return &file{File: f, disk: d, path: path}, nil
}

// Rename implements atomicfile.FS.
func (d *Disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	restore, err := backup(to)
	if err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if d.written[from] {
		delete(d.written, from)
		d.written[to] = true
	}
	d.changed(to, func() error { return errors.Join(os.Rename(to, from), restore()) })
	return nil
}

// Remove implements atomicfile.FS.
func (d *Disk) Remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	restore, err := backup(path)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	d.changed(path, restore)
	return nil
}

// Mkdir implements atomicfile.FS.
func (d *Disk) Mkdir(path string, perm fs.FileMode) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := os.Mkdir(path, perm); err != nil {
		return err
	}
	d.changed(path, func() error { return os.RemoveAll(path) })
	return nil
}

// SyncDir implements atomicfile.FS.
func (d *Disk) SyncDir(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	var left []nameChange
	for _, c := range d.names {
		if c.dir != filepath.Clean(path) {
			left = append(left, c)
		}
	}
	d.names = left
	return nil
}

// backup returns what puts the file at path back as it is now.
func backup(path string) (restore func() error, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	return func() error { return os.WriteFile(path, b, 0o600) }, err
}

// file is a file being written on a Disk.
type file struct {
	atomicfile.File
	disk *Disk
	path string
}

// Write writes half of p when it is the step that faults.
func (f *file) Write(p []byte) (int, error) {
	err := f.disk.step()
	if err != nil {
		p = p[:len(p)/2]
	}
	f.disk.written[f.path] = true
	n, writeErr := f.File.Write(p)
	return n, errors.Join(err, writeErr)
}

// Sync does not sync, which would only cost time: it notes that it was asked.
func (f *file) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	delete(f.disk.written, f.path)
	return nil
}

// Close closes the file in any case.
func (f *file) Close() error {
	return errors.Join(f.disk.step(), f.File.Close())
}
