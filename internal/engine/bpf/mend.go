package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// pinnable is a map or a link.
type pinnable interface {
	Pin(path string) error
	Unpin() error
}

// pinTries is how often a removal's end is waited for before it is an error.
const pinTries = 5

// keeper is what the watch of the pins may do.
type keeper struct{ *pinned }

func (k keeper) PinDirs() []string { return k.pinDirs() }

func (k keeper) Whole() bool {
	k.pinning.Lock()
	defer k.pinning.Unlock()
	return len(k.unpinned()) == 0
}

func (k keeper) Mend() error { return k.mendPins() }

// mendPins pins anew what somebody has unpinned. Nothing lapses for the lack of a pin as
// long as this process lives, for it holds every map and link; but the end of the process
// would be the end of enforcement. Maps come first: of links whose maps are not pinned
// beside them the next process would make new ones, without the active policy. So one
// that is killed at any point leaves something that the next can take over.
func (p *pinned) mendPins() error {
	p.pinning.Lock()
	defer p.pinning.Unlock()
	gone := p.unpinned()
	if len(gone) == 0 {
		p.unpinnable = nil
		return nil
	}
	err := p.pinAll(gone)
	for try := 1; err != nil && try < pinTries; try++ {
		time.Sleep(abi.PinSettle) // the removal may still be going on
		err = p.pinAll(p.unpinned())
	}
	switch {
	case err == nil:
		p.log.Warn("somebody removed pins of the engine; they are there again, and nothing lapsed", "pins", p.dir.root, "number", len(gone))
	case p.unpinnable == nil || p.unpinnable.Error() != err.Error():
		p.log.Error("somebody removed pins of the engine, and they cannot be made anew: enforcement ends with this process", "pins", p.dir.root, "error", err)
	}
	p.unpinnable = err
	return err
}

// pinDirs are the directories that have pins.
func (p *pinned) pinDirs() []string {
	dirs := []string{p.dir.root, p.dir.build}
	if path, guard := p.ftrace.Pin(); guard != nil {
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
func (p *pinned) pins() (all []pin) {
	for name, m := range p.maps {
		all = append(all, pin{filepath.Join(p.mapDir(name), name), m})
	}
	for _, h := range hooks() {
		if l := p.links.get(h.name); l != nil {
			all = append(all, pin{p.linkPath(h), l})
		}
	}
	if path, guard := p.ftrace.Pin(); guard != nil {
		all = append(all, pin{path, guard})
	}
	return all
}

func (p *pinned) unpinned() (gone []pin) {
	for _, at := range p.pins() {
		if _, err := os.Lstat(at.path); err != nil {
			gone = append(gone, at)
		}
	}
	return gone
}

func (p *pinned) pinAll(gone []pin) error {
	if err := p.dir.restore(); err != nil {
		return err
	}
	for _, at := range gone {
		if err := makePinDir(filepath.Dir(at.path)); err != nil {
			return err
		}
		// The library takes an object for pinned where it was pinned once.
		if err := errors.Join(at.object.Unpin(), at.object.Pin(at.path)); err != nil {
			return fmt.Errorf("pin anew: %w", err)
		}
	}
	if p.recalled.Load() {
		p.noteRecall()
	}
	return nil
}
