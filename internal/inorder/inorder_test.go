package inorder_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/inorder"
)

func upTo(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}

func double() func(int) int { return func(n int) int { return 2 * n } }

// TestDo: all results come, in the order of the tasks.
func TestDo(t *testing.T) {
	for _, n := range []int{0, 1, 31, 5000} {
		var got []int
		err := inorder.Do(t.Context(), upTo(n), double, func(r int) error { got = append(got, r); return nil })
		if err != nil || len(got) != n || !slices.IsSorted(got) {
			t.Errorf("%d tasks: %v, %d results", n, err, len(got))
		}
	}
}

// TestDoEnds: after an error, or when nobody wants more, no result follows.
func TestDoEnds(t *testing.T) {
	stop := errors.New("enough")
	n := 0
	err := inorder.Do(t.Context(), upTo(5000), double, func(int) error {
		if n++; n == 100 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 100 {
		t.Errorf("%v after %d results", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := inorder.Do(ctx, upTo(5000), double, func(int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
