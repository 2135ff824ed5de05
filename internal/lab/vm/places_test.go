//go:build linux

package vm

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestPlaces: no more guests run than there are places, and one that ends makes room.
func TestPlaces(t *testing.T) {
	t.Setenv("IPE_KERNEL_CACHE", t.TempDir())
	t.Setenv("IPE_VM_PLACES", "2")
	var leave [2]func()
	for i := range leave {
		var err error
		if leave[i], err = takePlace(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	defer leave[1]()
	ctx, cancel := context.WithTimeout(t.Context(), 3*placeStep)
	defer cancel()
	if _, err := takePlace(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a third guest: %v", err)
	}
	time.AfterFunc(2*placeStep, leave[0])
	third, err := takePlace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	third()
}

// TestPlacesWrong: a number with which no guest would run, or that is none, is told.
func TestPlacesWrong(t *testing.T) {
	t.Setenv("IPE_KERNEL_CACHE", t.TempDir())
	for _, text := range []string{"0", "-1", "many"} {
		t.Setenv("IPE_VM_PLACES", text)
		if _, err := takePlace(t.Context()); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
