//go:build linux && guest

package devmapper

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// closing removes a device when the test ends.
func closing(t *testing.T, c *control, name string) {
	t.Helper()
	if _, err := c.remove(name, false); err != nil {
		t.Error(err)
	}
}

func guestControl(t *testing.T) *control {
	t.Helper()
	c, err := openControl()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// TestGuestLongList has more devices than the first answer has room for.
func TestGuestLongList(t *testing.T) {
	c := guestControl(t)
	names := map[string]bool{}
	for i := 0; i*100 < 2*firstAnswer; i++ {
		name := fmt.Sprint(strings.Repeat("n", 100), i)
		if _, err := c.create(name, ""); err != nil {
			t.Fatal(err)
		}
		defer closing(t, c, name)
		names[name] = true
	}
	all, err := c.devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if !names[d.mangled] || d.dev == 0 {
			t.Errorf("%+v, which is nobody's or stands there twice", d)
		}
		delete(names, d.mangled)
	}
	if len(names) > 0 {
		t.Errorf("%d devices are not listed", len(names))
	}
	if volumes, err := List(); err != nil || len(volumes) > 0 {
		t.Errorf("volumes among them: %v, %v", volumes, err)
	}
}

// TestGuestOthers leaves devices of others alone.
func TestGuestOthers(t *testing.T) {
	c := guestControl(t)
	if _, err := c.create("other", "OTHER-other"); err != nil {
		t.Fatal(err)
	}
	defer closing(t, c, "other")
	if err := c.load("other", target{length: 8, kind: "error"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.resume("other"); err != nil {
		t.Fatal(err)
	}
	if s, err := Look("other"); !errors.Is(err, ErrNotVerity) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, deferred := range []bool{false, true} {
		if _, err := Close("other", deferred); !errors.Is(err, ErrNotVerity) {
			t.Error(err)
		}
	}
	if d, err := c.state("other"); err != nil || d.Deferred || d.UUID != "OTHER-other" {
		t.Errorf("%+v, %v", d, err)
	}
	if all, err := List(); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestGuestHalf closes what was left when an open was killed in its middle.
func TestGuestHalf(t *testing.T) {
	c := guestControl(t)
	if _, err := c.create("half", uuidPrefix+"half"); err != nil {
		t.Fatal(err)
	}
	if s, err := Look("half"); !errors.Is(err, ErrNotVerity) {
		t.Errorf("%+v, %v", s, err)
	}
	if pending, err := Close("half", false); err != nil || pending {
		t.Error(pending, err)
	}
	if _, err := c.state("half"); !errors.Is(err, ErrInactive) {
		t.Error(err)
	}
	if _, err := Close("half", true); !errors.Is(err, ErrInactive) {
		t.Error(err)
	}
}
