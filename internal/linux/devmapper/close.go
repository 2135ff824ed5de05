package devmapper

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
)

// How long a removal waits for udev and those it starts, which look at new devices.
const (
	busyTries = 25
	busyPause = 100 * time.Millisecond
)

// Close removes a verity device and its node; loop devices that were made for it go
// with it. One that is in use gives EBUSY, or, if deferred is set, goes when it is not
// in use any more; then pending is true. Errors wrap ErrInactive or ErrNotVerity.
func Close(name string, deferred bool) (pending bool, err error) {
	pending, err = closeDevice(name, deferred)
	if err != nil {
		return pending, fmt.Errorf("close volume %s: %w", plain.Name(name), err)
	}
	return pending, nil
}

func closeDevice(name string, deferred bool) (pending bool, err error) {
	err = withVolume(name, func(c *control, d Device, mangled string) error {
		pending, err = c.takeAway(d, mangled, deferred)
		return err
	})
	return pending, err
}

// Keep takes back what Close has deferred. A device of which nothing was deferred stays as
// it is. Errors are those of Close, but for EBUSY, which here says that it is too late.
func Keep(name string) error {
	err := withVolume(name, func(c *control, d Device, mangled string) error {
		if err := c.keep(mangled); err != nil {
			return err
		}
		return d.makeNode() // where udev does not run, Close has removed it
	})
	if err != nil {
		return fmt.Errorf("keep volume %s: %w", plain.Name(name), err)
	}
	return nil
}

// withVolume does something about a verity device.
func withVolume(name string, do func(c *control, d Device, mangled string) error) error {
	mangled, err := Mangle(name)
	if err != nil {
		return err
	}
	c, err := openControl()
	if err != nil {
		return err
	}
	defer c.close()
	d, err := c.state(mangled)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(d.UUID, uuidPrefix) {
		if _, err := c.look(mangled); err != nil {
			return err
		}
	}
	return do(c, d, mangled)
}

// takeAway removes a device, and its node if the device is gone.
func (c *control) takeAway(d Device, mangled string, deferred bool) (pending bool, err error) {
	for i := 0; ; i++ {
		pending, err = c.remove(mangled, deferred)
		if !errors.Is(err, unix.EBUSY) || i == busyTries || !udevRuns() {
			break
		}
		time.Sleep(busyPause)
	}
	if err != nil || pending && udevRuns() {
		return pending, err
	}
	// Nobody else would remove the node later.
	return pending, d.dropNode()
}
