package main

import (
	"log/slog"
	"time"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/controlfs"
)

// patience is how long users of the control tree wait for an iped that is hung.
const patience = 15 * time.Second

// tree is the control tree, or none.
type tree struct {
	guard *controlfs.Guard
	log   *slog.Logger
}

// mountTree mounts the control tree on dir, if one is given.
func mountTree(dir string, c *control.Control, log *slog.Logger) (*tree, error) {
	if dir == "" {
		return &tree{}, nil
	}
	g, err := controlfs.MountGuarded(dir, c, controlfs.Watch{Path: "/proc/self/exe", Patience: patience}, log)
	if err != nil {
		return nil, err
	}
	log.Info("control tree mounted", "path", dir)
	return &tree{guard: g, log: log}, nil
}

// serve answers, from now on until close or until somebody unmounts the tree.
func (t *tree) serve() {
	if t.guard != nil {
		go t.guard.Serve()
	}
}

// alive reports whether the tree, if there is one, answers.
func (t *tree) alive() bool { return t.guard == nil || t.guard.Alive() }

func (t *tree) close() {
	if t.guard == nil {
		return
	}
	if err := t.guard.Close(); err != nil {
		t.log.Error("control tree stays mounted", "error", err)
	}
}
