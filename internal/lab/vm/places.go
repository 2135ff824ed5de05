//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// places is how many guests run at once on this machine, whoever starts them: one more
// than it has processors, since guests wait for time to pass, too. Of more, each would be
// so slow that it meets what waits for it. IPE_VM_PLACES is another number.
func places() (int, error) {
	text := os.Getenv("IPE_VM_PLACES")
	if text == "" {
		return runtime.NumCPU() + 1, nil
	}
	n, err := decimal.Parse[int](text)
	if err == nil && n < 1 {
		err = errors.New("no guest would ever run")
	}
	if err != nil {
		return 0, fmt.Errorf("IPE_VM_PLACES=%q: %w", text, err)
	}
	return n, nil
}

// placeStep is how often a guest that waits for a place looks for one.
const placeStep = 50 * time.Millisecond

// takePlace waits until this guest may run. The place is free again when the function is
// called, or the process ends.
func takePlace(ctx context.Context) (leave func(), err error) {
	cache, err := debian.CacheDir()
	if err != nil {
		return nil, err
	}
	n, err := places()
	if err != nil {
		return nil, err
	}
	for {
		for i := range n {
			leave, ok, err := debian.TryLock(cache, fmt.Sprintf("guest-%d", i))
			if ok || err != nil {
				return leave, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(placeStep):
		}
	}
}
