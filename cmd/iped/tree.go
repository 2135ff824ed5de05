package main

import (
	"log/slog"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/controlfs"
)

// tree is the control tree, or none.
type tree struct {
	server *controlfs.Server
	log    *slog.Logger
}

// mountTree mounts the control tree on dir, if one is given.
func mountTree(dir string, c *control.Control, log *slog.Logger) (*tree, error) {
	if dir == "" {
		return &tree{}, nil
	}
	s, err := controlfs.Mount(dir, c, log)
	if err != nil {
		return nil, err
	}
	log.Info("control tree mounted", "path", dir)
	return &tree{server: s, log: log}, nil
}

// serve answers, from now on until close or until somebody unmounts the tree.
func (t *tree) serve() {
	if t.server != nil {
		go t.server.Serve()
	}
}

func (t *tree) close() {
	if t.server == nil {
		return
	}
	if err := t.server.Close(); err != nil {
		t.log.Error("control tree stays mounted", "error", err)
	}
}
