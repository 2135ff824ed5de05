package control_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/ipe-linux/ipe/internal/control/api"
)

// TestPlace: a place outlives updates and not the policy, whatever comes after it.
func TestPlace(t *testing.T) {
	m := newMachine(t)
	c := m.started()
	if _, err := c.Place("site"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("place of nothing: %v", err)
	}
	if _, err := c.Load(m.signed("site", "1.0.0")); err != nil {
		t.Fatal(err)
	}
	first, err := c.Place("site")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update("site", m.signed("site", "1.1.0")); err != nil {
		t.Fatal(err)
	}
	if info, err := first.Info(); err != nil || info.Version != "1.1.0" {
		t.Errorf("after an update: %+v, %v", info, err)
	}
	if err := first.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Load(m.signed("site", "1.2.0")); err != nil {
		t.Fatal(err)
	}
	_, infoErr := first.Info()
	_, _, _, getErr := first.Get()
	_, updateErr := first.Update(m.signed("site", "1.3.0"))
	for what, err := range map[string]error{"info": infoErr, "get": getErr, "update": updateErr,
		"activate": first.Activate(), "delete": first.Delete()} {
		if !errors.Is(err, api.ErrNotFound) {
			t.Errorf("%s of a deleted policy's place: %v", what, err)
		}
	}
	second, err := c.Place("site")
	if err != nil || second.ID() == first.ID() {
		t.Fatalf("place %d after %d, %v", second.ID(), first.ID(), err)
	}
	if err := second.Activate(); err != nil {
		t.Error(err)
	}
	if all := c.Places(); len(all) != 1 || all[0] != second {
		t.Errorf("places %v", all)
	}
}

// TestHalvesOfMode: changing one half at a time never undoes the other.
func TestHalvesOfMode(t *testing.T) {
	c := newMachine(t).started()
	for range 20 {
		var wg sync.WaitGroup
		var errs [2]error
		wg.Go(func() { errs[0] = c.SetEnforce(false) })
		wg.Go(func() { errs[1] = c.SetSuccessAudit(true) })
		wg.Wait()
		if got := c.Mode(); errors.Join(errs[:]...) != nil || got != (api.Mode{SuccessAudit: true}) {
			t.Fatalf("mode %+v, %v", got, errs)
		}
		if err := c.setMode(api.Mode{Enforce: true}); err != nil {
			t.Fatal(err)
		}
	}
}
