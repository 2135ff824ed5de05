package controltest

import (
	"context"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/profiles"
)

// Daemon is control with a reload, as a server needs it: one that reads nothing.
type Daemon struct {
	*control.Control
	// Profiles is nil for none.
	Profiles *profiles.Profiles
	// OnReload is called by each, and has its error; nil for none.
	OnReload func() error
}

// Status is that of control, with the profile.
func (d Daemon) Status() api.Status {
	if d.Profiles == nil {
		return d.Control.Status()
	}
	return d.Profiles.Complete(d.Control.Status())
}

// Profile implements server.Control.
func (d Daemon) Profile() (api.Profile, error) {
	if d.Profiles == nil {
		return api.Profile{}, api.ErrNoProfile
	}
	return d.Profiles.Profile()
}

// LoadProfile implements server.Control.
func (d Daemon) LoadProfile(who audit.Subject, envelope []byte) (api.Profile, error) {
	if d.Profiles == nil {
		return api.Profile{}, api.ErrNoProfiler
	}
	return d.Profiles.LoadProfile(who, envelope)
}

// Reload implements server.Control.
func (d Daemon) Reload(context.Context) (api.Reloaded, error) {
	var err error
	if d.OnReload != nil {
		err = d.OnReload()
	}
	return api.Reloaded{Certificates: d.Status().Trust.Certificates}, err
}
