package devmapper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// nodeTries is how often a node is made that somebody, say udev, makes or removes at
// the same time.
const nodeTries = 8

// rdev is the device's number as in stat(2).
func (d Device) rdev() uint64 { return unix.Mkdev(d.Major, d.Minor) }

// leadsTo reports whether a path leads to the device.
func (d Device) leadsTo(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && st.Rdev == d.rdev()
}

// makeNode makes the device's node if it is not there. Where devtmpfs has one, the
// node is a symbolic link to it, the same that udev makes: then it does not matter
// which of both comes first. Whatever else has the place is a leftover, for the
// kernel has one device of a name.
func (d Device) makeNode() error {
	for range nodeTries {
		if d.leadsTo(d.Path()) {
			return nil
		}
		if err := os.Remove(d.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make node: %w", err)
		}
		if err := d.putNode(); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make node: %w", err)
		}
	}
	return fmt.Errorf("make node: %s: %w, again and again", d.Path(), fs.ErrExist)
}

// nodeMode is what libdevmapper gives nodes.
const nodeMode = unix.S_IFBLK | 0o600

func (d Device) putNode() error {
	kernels := fmt.Sprintf("dm-%d", d.Minor)
	if d.leadsTo("/dev/" + kernels) {
		return os.Symlink("../"+kernels, d.Path())
	}
	if err := unix.Mknod(d.Path(), nodeMode, int(d.rdev())); err != nil {
		return &fs.PathError{Op: "mknod", Path: d.Path(), Err: err}
	}
	return nil
}

// isNode reports whether what stands in the node's place is this device's, be the
// device there or not.
func (d Device) isNode() bool {
	if to, err := os.Readlink(d.Path()); err == nil {
		return to == fmt.Sprintf("../dm-%d", d.Minor)
	}
	return d.leadsTo(d.Path())
}

// dropNode removes the node of a device that is gone, if nobody else did.
func (d Device) dropNode() error {
	if !d.isNode() {
		return nil
	}
	if err := os.Remove(d.Path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove node: %w", err)
	}
	return nil
}

// udevRuns reports whether udev manages nodes here, as libudev decides it.
func udevRuns() bool {
	_, err := os.Stat("/run/udev/control")
	return err == nil
}

// Backing tells of a device "major:minor" which node it has, and, if it is a loop
// device, which file it is of; both as far as sysfs knows.
func Backing(number string) (node, file string) {
	dir := "/sys/dev/block/" + number
	line := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(b), "\n")
	}
	if name := line("dm/name"); name != "" {
		return Dir + "/" + name, ""
	}
	to, err := os.Readlink(dir)
	if err != nil {
		return number, ""
	}
	return "/dev/" + strings.ReplaceAll(filepath.Base(to), "!", "/"), line("loop/backing_file")
}
