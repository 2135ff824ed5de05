package abi

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

// MountWatch notices when file systems are mounted and unmounted in this process's mount
// namespace.
type MountWatch struct {
	// mounts is a bare descriptor: a file of package os would be polled by Go's runtime,
	// too, and each change is told to the first that asks, proc_pid_mountinfo(5).
	mounts      int
	asked, stop *os.File
	done        chan struct{}
}

// WatchMounts calls fn, in one goroutine, after mounts have changed. Changes that follow
// each other closely may be one call.
func WatchMounts(fn func()) (*MountWatch, error) {
	mounts, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("watch mounts: open /proc/self/mountinfo: %w", err)
	}
	asked, stop, err := os.Pipe()
	if err != nil {
		unix.Close(mounts)
		return nil, fmt.Errorf("watch mounts: %w", err)
	}
	w := &MountWatch{mounts: mounts, asked: asked, stop: stop, done: make(chan struct{})}
	// Descriptors are taken here: they stay until the goroutine has ended.
	fds := []unix.PollFd{{Fd: int32(mounts), Events: unix.POLLPRI}, {Fd: int32(asked.Fd()), Events: unix.POLLIN}}
	go w.run(fds, fn)
	return w, nil
}

func (w *MountWatch) run(fds []unix.PollFd, fn func()) {
	defer close(w.done)
	for {
		err := eintr.Again(func() error {
			_, err := unix.Poll(fds, -1)
			return err
		})
		if err != nil || fds[1].Revents != 0 { // it fails for wrong arguments alone, poll(2)
			return
		}
		fn()
	}
}

// Close ends the watch, and returns when fn runs no more.
func (w *MountWatch) Close() error {
	w.stop.Close()
	<-w.done
	return errors.Join(w.asked.Close(), unix.Close(w.mounts))
}
