package volumes

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// TestKernelNumbers wants what the kernel, and package devmapper, say of devices to reach
// scripts, whatever hint is attached.
func TestKernelNumbers(t *testing.T) {
	for want, errs := range map[string][]error{
		"EPERM":  {unix.EPERM},
		"EACCES": {&os.PathError{Op: "open", Path: "/dev/mapper/control", Err: unix.EACCES}},
		"ENOMEM": {unix.ENOMEM},
		"EBUSY":  {unix.EBUSY, devmapper.ErrLoopTaken},
		"EEXIST": {fmt.Errorf("create: Device v %w", devmapper.ErrExists)},
		"EINVAL": {devmapper.ErrParams, devmapper.ErrName},
		"ENODEV": {devmapper.ErrNotVerity, devmapper.ErrNoTarget, devmapper.ErrNoLoop,
			fmt.Errorf("%w: %w", devmapper.ErrInactive, unix.ENXIO), fmt.Errorf("%w: %w", devmapper.ErrNoDeviceMapper, unix.ENOENT)},
	} {
		for _, err := range errs {
			err = fmt.Errorf("open volume v: %w", err)
			if opened, closed := ui.Symbol(openHint(err, devmapper.Request{})), ui.Symbol(mapperHint(err)); opened != want || closed != want {
				t.Errorf("%v: %s to open, %s to close, want %s", err, opened, closed, want)
			}
		}
	}
	if got := ui.Symbol(unfit{fmt.Errorf("read superblock: %w", unix.EIO)}); got != "EIO" {
		t.Errorf("a superblock that cannot be read: %s", got)
	}
	if got := ui.Symbol(unfit{dmverity.ErrSuperblock}); got != "EINVAL" {
		t.Errorf("no superblock: %s", got)
	}
}
