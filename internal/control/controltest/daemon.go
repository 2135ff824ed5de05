package controltest

import (
	"context"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
)

// Daemon is control with a reload, as a server needs it: one that reads nothing.
type Daemon struct {
	*control.Control
	// OnReload is called by each, and has its error; nil for none.
	OnReload func() error
}

// Reload implements server.Control.
func (d Daemon) Reload(context.Context) (api.Reloaded, error) {
	var err error
	if d.OnReload != nil {
		err = d.OnReload()
	}
	return api.Reloaded{Certificates: d.Status().Trust.Certificates}, err
}
