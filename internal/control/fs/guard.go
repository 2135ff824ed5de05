package fs

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/eintr"
)

// Watch says how a tree is watched.
type Watch struct {
	// Path is a program that calls Watchdog with the arguments after the first.
	Path string
	// Patience is how long the server may be silent.
	Patience time.Duration
}

// Guard is a mounted tree whose server is watched by another process. If this one
// hangs, or is stopped, whoever waits for an answer gets ECONNABORTED after a while, and
// everybody else ENOTCONN. When it goes on, the tree is mounted anew.
type Guard struct {
	dir   string
	c     *control.Control
	watch Watch
	log   *slog.Logger

	mu     sync.Mutex
	server *Server
	closed bool
	dog    *dog

	// beat is when the tree was last seen to answer, by a clock that only advances.
	beat  atomic.Int64
	start time.Time
}

// MountGuarded is Mount with a watchdog. That is started at once: when a policy decides
// it could be too late for a new process.
func MountGuarded(dir string, c *control.Control, w Watch, log *slog.Logger) (*Guard, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("mount control tree: %w", err)
	}
	g := &Guard{dir: dir, c: c, watch: w, log: log, start: time.Now()}
	if g.server, err = Mount(dir, c, log); err != nil {
		return nil, err
	}
	if g.dog, err = startDog(dir, w); err != nil {
		return nil, errors.Join(fmt.Errorf("start watchdog: %w", err), g.server.Close())
	}
	return g, nil
}

// Serve answers until Close is called or somebody unmounts the tree.
func (g *Guard) Serve() {
	for s := g.server; s != nil; {
		done := make(chan struct{})
		watched := g.tell(s, s.device)
		go g.beatFor(s, watched, done)
		s.Serve()
		close(done)
		s = g.again()
	}
}

// again mounts the tree anew if the watchdog has cut it.
func (g *Guard) again() *Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil
	case !g.dog.hasCut():
		g.log.Warn("control tree was unmounted", "path", g.dir)
		return nil
	}
	g.log.Error("control tree was cut off, as nothing had answered for too long; mounting it anew", "path", g.dir, "patience", g.watch.Patience)
	s, err := Mount(g.dir, g.c, g.log)
	if err != nil {
		g.log.Error("control tree is gone", "error", err)
		return nil
	}
	g.server = s
	return s
}

// Close is that of Server.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return errors.Join(g.server.Close(), g.dog.close())
}

// Alive reports whether the tree answered lately.
func (g *Guard) Alive() bool {
	return time.Since(g.start)-time.Duration(g.beat.Load()) < g.watch.Patience
}

// beatsPer is how often the watchdog is told in its time.
const beatsPer = 5

// beatFor tells the watchdog, for as long as the tree answers, until the server ends.
func (g *Guard) beatFor(s *Server, watched bool, done <-chan struct{}) {
	tick := time.NewTicker(g.watch.Patience / beatsPer)
	defer tick.Stop()
	for {
		device := s.device
		if err := g.look(); err != nil {
			device = 0 // nothing is left to cut
		}
		g.beat.Store(int64(time.Since(g.start)))
		watched = watched && g.tell(s, device)
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// tell reports whether there is somebody to tell. What is late, of a server that has
// ended since, is not said: it would be taken to be about the next.
func (g *Guard) tell(s *Server, device uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || s != g.server {
		return false
	}
	err := g.dog.tell(device)
	if err != nil {
		err = g.restart(err, device)
	}
	if err != nil {
		g.log.Error("control tree is not watched any more: if iped hangs, so does who uses it", "error", err)
	}
	return err == nil
}

// restart replaces a watchdog that has ended, unless it did so at once. The next one hears
// of the device before anything else: were this process killed now, while it asks itself,
// only the watchdog could end its wait.
func (g *Guard) restart(why error, device uint64) error {
	if time.Since(g.dog.started) < g.watch.Patience {
		return why
	}
	g.log.Warn("watchdog of the control tree has ended; starting another", "error", why)
	next, err := startDog(g.dir, g.watch)
	if err != nil {
		return err
	}
	err = errors.Join(next.tell(device), g.dog.close())
	g.dog = next
	return err
}

// look reads a file of the tree, by all the ways that any reader's question goes. It does
// not use package os, whose files the runtime would poll.
func (g *Guard) look() error {
	return eintr.Again(func() error {
		fd, err := unix.Open(filepath.Join(g.dir, "enforce"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.Read(fd, make([]byte, 1))
		return err
	})
}
