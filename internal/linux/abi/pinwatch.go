package abi

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
)

const (
	// PinSettle lets a removal of many pins come to its end; one that goes on for ever costs
	// this little of a processor.
	PinSettle = 50 * time.Millisecond
	// pinRetry is how often pins that cannot be made are tried again: the BPF file system may
	// be mounted again.
	pinRetry = 2 * time.Second
)

// PinKeeper is whoever has something pinned.
type PinKeeper interface {
	// PinDirs are the directories that have pins.
	PinDirs() []string
	// Whole reports whether each pin is there.
	Whole() bool
	// Mend pins anew what is gone.
	Mend() error
}

// PinWatch notices when pins are removed, or their file system is unmounted.
type PinWatch struct {
	log    *slog.Logger
	in     *os.File
	mounts *MountWatch
	// remounted: a mount has changed since the pins were looked at.
	remounted atomic.Bool
	done      chan struct{}
}

// KeepPins mends the pins of k whenever some are removed, until it is closed.
func KeepPins(k PinKeeper, log *slog.Logger) (*PinWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch pins: %w", err)
	}
	w := &PinWatch{log: log, in: os.NewFile(uintptr(fd), "pins"), done: make(chan struct{})}
	if w.mounts, err = WatchMounts(w.mountsChanged); err != nil {
		w.in.Close()
		return nil, err
	}
	go w.run(k)
	return w, nil
}

// mountsChanged ends the wait: a file system that is unmounted while something of it is
// open tells those who watch its directories nothing.
func (w *PinWatch) mountsChanged() {
	w.remounted.Store(true)
	_ = w.in.SetReadDeadline(time.Now()) // it fails if the watch ends
}

func (w *PinWatch) run(k PinKeeper) {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		var again time.Time
		if !w.mend(k) {
			again = time.Now().Add(pinRetry)
		}
		if err := w.in.SetReadDeadline(again); err != nil {
			return // it was closed
		}
		if w.remounted.Swap(false) {
			continue // the deadline that it set may be overwritten
		}
		_, err := w.in.Read(buf)
		switch {
		case err == nil:
			time.Sleep(PinSettle)
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, os.ErrClosed):
			return
		default:
			w.log.Error("the pins are no longer watched: "+hint.Status+" mends them", "error", err)
			return
		}
	}
}

// mend watches what is there now, and mends until nothing was gone. It is false if that
// cannot be.
func (w *PinWatch) mend(k PinKeeper) bool {
	for {
		watched := w.watch(k)
		whole := k.Whole()
		if whole && watched {
			return k.Mend() == nil
		}
		if k.Mend() != nil || !watched && whole {
			return false
		}
	}
}

// watch adds the directories, which may be others than before.
func (w *PinWatch) watch(k PinKeeper) bool {
	const gone = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	conn, err := w.in.SyscallConn()
	if err != nil {
		return false
	}
	ok := true
	err = conn.Control(func(fd uintptr) {
		for _, dir := range k.PinDirs() {
			if _, err := unix.InotifyAddWatch(int(fd), dir, gone); err != nil {
				ok = false
			}
		}
	})
	return ok && err == nil
}

// Close ends the watch.
func (w *PinWatch) Close() error {
	if w == nil {
		return nil
	}
	err := errors.Join(w.mounts.Close(), w.in.Close())
	<-w.done
	return err
}
