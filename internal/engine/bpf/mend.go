package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// pinnable is a map or a link.
type pinnable interface {
	Pin(path string) error
	Unpin() error
}

// mendPins pins anew what somebody has unpinned. Nothing lapses for the lack of a pin as
// long as this process lives, for it holds every map and link; but the end of the process
// would be the end of enforcement. Maps come first: of links whose maps are not pinned
// beside them the next process would make new ones, without the active policy. So one
// that is killed at any point leaves something that the next can take over.
func (e *Engine) mendPins() error {
	e.pinning.Lock()
	defer e.pinning.Unlock()
	gone := e.unpinned()
	if len(gone) == 0 {
		e.unpinnable = nil
		return nil
	}
	err := e.pinAll(gone)
	for try := 1; err != nil && try < pinTries; try++ {
		time.Sleep(pinSettle) // the removal may still be going on
		err = e.pinAll(e.unpinned())
	}
	switch {
	case err == nil:
		e.log.Warn("somebody removed pins of the engine; they are there again, and nothing lapsed", "pins", e.root, "number", len(gone))
	case e.unpinnable == nil || e.unpinnable.Error() != err.Error():
		e.log.Error("somebody removed pins of the engine, and they cannot be made anew: enforcement ends with this process", "pins", e.root, "error", err)
	}
	e.unpinnable = err
	return err
}

// pinDirs are the directories that have pins.
func (e *Engine) pinDirs() []string {
	dirs := []string{e.root, e.dir}
	if path, guard := e.ftrace.Pin(); guard != nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

// pin is an object and where it is to be.
type pin struct {
	path   string
	object pinnable
}

// pins lists what is to be pinned, in the order in which that is done.
func (e *Engine) pins() (all []pin) {
	for name, m := range e.maps {
		all = append(all, pin{filepath.Join(e.mapDir(name), name), m})
	}
	for _, h := range hooks() {
		if l := e.links[h.name]; l != nil {
			all = append(all, pin{e.linkPath(h), l})
		}
	}
	if path, guard := e.ftrace.Pin(); guard != nil {
		all = append(all, pin{path, guard})
	}
	return all
}

func (e *Engine) unpinned() (gone []pin) {
	for _, p := range e.pins() {
		if _, err := os.Lstat(p.path); err != nil {
			gone = append(gone, p)
		}
	}
	return gone
}

func (e *Engine) pinAll(gone []pin) error {
	if err := prepareBPFFS(e.root); err != nil {
		return err
	}
	if err := e.makeDirs(); err != nil {
		return err
	}
	if err := e.lockAnew(); err != nil {
		return err
	}
	for _, p := range gone {
		if err := makePinDir(filepath.Dir(p.path)); err != nil {
			return err
		}
		// The library takes an object for pinned where it was pinned once.
		if err := errors.Join(p.object.Unpin(), p.object.Pin(p.path)); err != nil {
			return fmt.Errorf("pin anew: %w", err)
		}
	}
	if e.recalled.Load() {
		e.noteRecall()
	}
	return nil
}

// lockAnew takes the lock if the directory is another one. Another process may have
// taken it first; then the pins there are its own.
func (e *Engine) lockAnew() error {
	var there, held unix.Stat_t
	if err := errors.Join(unix.Stat(e.root, &there), unix.Fstat(int(e.lock.Fd()), &held)); err != nil {
		return fmt.Errorf("lock engine: %w", err)
	}
	if there.Dev == held.Dev && there.Ino == held.Ino {
		return nil
	}
	old := e.lock
	if err := e.takeLock(); err != nil {
		if e.lock != old {
			err = errors.Join(err, e.lock.Close())
		}
		e.lock = old
		return err
	}
	return old.Close()
}
