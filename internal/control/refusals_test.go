package control_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/policy"
)

// raised is a store whose floors are above all that is in it.
type raised struct{ control.Store }

func (raised) Floor(string) (policy.Version, bool) { return policy.Version{Major: 9}, true }

// TestStoredAndTooOld: a stored policy that has become too old is one that no longer
// verifies, and has the number of what is too old.
func TestStoredAndTooOld(t *testing.T) {
	m := newMachine(t)
	if _, err := m.started().Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	m.wrap = func(s control.Store) control.Store { return raised{s} }
	c, err := m.start()
	wantErrno(t, "start", err, unix.ESTALE)
	err = c.Activate("site")
	wantErrno(t, "activate", err, unix.ESTALE)
	var stale *store.StaleError
	if !errors.Is(err, api.ErrUnverified) || !errors.As(err, &stale) {
		t.Errorf("activate: %v", err)
	}
	_, err = c.Forecast("site")
	wantErrno(t, "forecast", err, unix.ESTALE)
}
