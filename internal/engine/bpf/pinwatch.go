package bpf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
)

const (
	// pinSettle lets a removal of many pins come to its end; one that goes on for ever
	// costs this little of a processor.
	pinSettle = 50 * time.Millisecond
	// pinTries is how often that is waited for before it is an error.
	pinTries = 5
	// pinRetry is how often pins that cannot be made are tried again: the BPF file system
	// may be mounted again.
	pinRetry = 2 * time.Second
)

// pinWatch notices when pins are removed.
type pinWatch struct {
	log  *slog.Logger
	in   *os.File
	done chan struct{}
}

// watchPins mends the pins whenever some are removed, until it is closed.
func (p *pinned) watchPins() (*pinWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch pins: %w", err)
	}
	w := &pinWatch{log: p.log, in: os.NewFile(uintptr(fd), "pins"), done: make(chan struct{})}
	go w.run(p)
	return w, nil
}

func (w *pinWatch) run(p *pinned) {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		var again time.Time
		if !w.mend(p) {
			again = time.Now().Add(pinRetry)
		}
		if err := w.in.SetReadDeadline(again); err != nil {
			return // it was closed
		}
		_, err := w.in.Read(buf)
		switch {
		case err == nil:
			time.Sleep(pinSettle)
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
func (w *pinWatch) mend(p *pinned) bool {
	for {
		watched := w.watch(p)
		p.pinning.Lock()
		whole := len(p.unpinned()) == 0
		p.pinning.Unlock()
		if whole && watched {
			return p.mendPins() == nil
		}
		if p.mendPins() != nil || !watched && whole {
			return false
		}
	}
}

// watch adds the directories, which may be others than before.
func (w *pinWatch) watch(p *pinned) bool {
	const gone = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	conn, err := w.in.SyscallConn()
	if err != nil {
		return false
	}
	ok := true
	err = conn.Control(func(fd uintptr) {
		for _, dir := range p.pinDirs() {
			if _, err := unix.InotifyAddWatch(int(fd), dir, gone); err != nil {
				ok = false
			}
		}
	})
	return ok && err == nil
}

func (w *pinWatch) close() error {
	err := w.in.Close()
	<-w.done
	return err
}
