package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/fs"
)

// patience is how long users of the control tree wait for an iped that is hung.
const patience = 15 * time.Second

// treeRetry is how often a tree that could not be mounted is tried again: /dev/fuse may
// be made later in the boot.
const treeRetry = 2 * time.Second

// problemTree is the key of the problem with the control tree.
const problemTree = "control tree"

// tree is the control tree, or none.
type tree struct {
	dir string
	c   *control.Control
	log *slog.Logger

	mu     sync.Mutex
	guard  *fs.Guard
	wrong  string // of the last try
	closed bool
}

// mountTree mounts the control tree on dir, if one is given, and serves it until close or
// until somebody unmounts it. One that cannot be mounted is a problem, and tried again
// until ctx ends.
func mountTree(ctx context.Context, dir string, c *control.Control, log *slog.Logger) *tree {
	t := &tree{dir: dir, c: c, log: log}
	if dir != "" && !t.mount() {
		go t.mountLater(ctx)
	}
	return t
}

func (t *tree) mountLater(ctx context.Context) {
	every(ctx.Done(), treeRetry, func() bool { return !t.mount() })
}

// mount reports whether there is nothing left to try.
func (t *tree) mount() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return true
	}
	g, err := fs.MountGuarded(t.dir, t.c, fs.Watch{Path: "/proc/self/exe", Patience: patience}, t.log)
	if err != nil {
		if err.Error() != t.wrong {
			t.wrong = err.Error()
			t.c.SetProblem(problemTree, err)
		}
		return false
	}
	t.c.SetProblem(problemTree, nil)
	t.log.Info("control tree mounted", "path", t.dir)
	t.guard = g
	go g.Serve()
	return true
}

// alive reports whether the tree, if there is one, answers.
func (t *tree) alive() bool {
	t.mu.Lock()
	g := t.guard
	t.mu.Unlock()
	return g == nil || g.Alive()
}

func (t *tree) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.guard == nil {
		return
	}
	if err := t.guard.Close(); err != nil {
		t.log.Error("control tree stays mounted", "error", err)
	}
}
