//go:build linux

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// parcelPoll is how often a template looks for its parcel.
const parcelPoll = 5 * time.Millisecond

// becomeGuest stops a template until it has been saved and started again with a parcel,
// and makes it the guest that the parcel describes.
func becomeGuest(spec wire.Spec, line *os.File) error {
	for _, m := range spec.Modules {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	// The parcel may bring others of the same name.
	if err := os.RemoveAll(wire.ModuleDir); err != nil {
		return err
	}
	page, err := unix.Mmap(-1, 0, wire.ParcelBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("wait for parcel: %w", err)
	}
	frames, err := wire.NewWriter(line)
	if err != nil {
		return err
	}
	if err := errors.Join(frames.Write(wire.Ready, nil), drain(line)); err != nil {
		return err
	}
	device, err := parcelDevice()
	if err != nil {
		return err
	}
	p, err := awaitParcel(device, page)
	if err != nil {
		return fmt.Errorf("wait for parcel: %w", err)
	}
	return settle(p, device, spec.Modules)
}

// pciDevices is where the kernel has them.
const pciDevices = "/sys/bus/pci/devices"

// parcelDevice finds the disk in the parcel's slot.
func parcelDevice() (string, error) {
	found, err := filepath.Glob(filepath.Join(pciDevices, wire.PCIDevice(wire.ParcelSlot), "virtio*", "block", "*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("find parcel: disks %q are in its slot", found)
	}
	return filepath.Join("/dev", filepath.Base(found[0])), nil
}

// awaitParcel reads the disk past the page cache until there is a parcel.
func awaitParcel(device string, page []byte) (wire.Parcel, error) {
	for {
		if err := readDirect(device, page); err != nil {
			return wire.Parcel{}, err
		}
		p, err := wire.ReadParcel(page)
		if err == nil {
			return p, nil
		}
		time.Sleep(parcelPoll)
	}
}

func readDirect(device string, page []byte) error {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Pread(fd, page, 0)
	return err
}

// settle makes the guest another one than those of the same state, and leaves it as it
// would be without a parcel.
func settle(p wire.Parcel, device string, modules []wire.Module) error {
	if err := addRandomness(p.Seed); err != nil {
		return err
	}
	now := unix.NsecToTimeval(p.Now.UnixNano())
	if err := unix.Settimeofday(&now); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	if err := unpackParcel(device); err != nil {
		return fmt.Errorf("unpack parcel: %w", err)
	}
	spec, err := readSpec()
	if err != nil {
		return err
	}
	if err := detach(modules); err != nil {
		return err
	}
	return attach(spec.Disks)
}

// addRandomness credits the kernel with a seed, and makes it use it at once.
func addRandomness(seed [wire.SeedSize]byte) error {
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("add randomness: %w", err)
	}
	defer f.Close()
	// struct rand_pool_info of <linux/random.h>
	info := struct {
		bits, size int32
		seed       [wire.SeedSize]byte
	}{int32(len(seed) * 8), int32(len(seed)), seed}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info))); e != 0 {
		return fmt.Errorf("add randomness: %w", e)
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), rndReseedCRNG, 0); e != 0 {
		return fmt.Errorf("use randomness: %w", e)
	}
	return nil
}

// rndReseedCRNG is RNDRESEEDCRNG of <linux/random.h>, _IO('R', 7).
const rndReseedCRNG = 0x5207

func unpackParcel(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(wire.ParcelBlock, io.SeekStart); err != nil {
		return err
	}
	for r := tar.NewReader(f); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = unpack(head, r)
		}
		if err != nil {
			return err
		}
	}
}

// unpack makes one member, which replaces what is there, unless both are directories.
func unpack(head *tar.Header, body io.Reader) error {
	name := filepath.Join("/", head.Name)
	switch head.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if old, err := os.Readlink(name); err == nil && old == head.Linkname {
			return nil
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Symlink(head.Linkname, name)
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, body); err != nil {
		return err
	}
	if err := out.Chmod(head.FileInfo().Mode().Perm()); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	// As in an initramfs, whose members have no time.
	return os.Chtimes(name, time.Time{}, time.Unix(0, 0))
}

// detach takes all disks off the machine, and their drivers out of the kernel.
func detach(modules []wire.Module) error {
	if err := removeFrom(wire.FirstSlot); err != nil {
		return err
	}
	for _, m := range slices.Backward(modules) {
		name := strings.TrimSuffix(filepath.Base(m.Path), ".ko")
		if err := unix.DeleteModule(name, 0); err != nil {
			return fmt.Errorf("unload %s: %w", name, err)
		}
	}
	return nil
}

// attach has the kernel find the first so many disks, which are others now than when the
// state was saved.
func attach(disks int) error {
	if disks == 0 {
		return nil
	}
	if err := os.WriteFile("/sys/bus/pci/rescan", []byte("1"), 0); err != nil {
		return fmt.Errorf("attach disks: %w", err)
	}
	return removeFrom(wire.FirstSlot + disks)
}

// removeFrom removes the devices in the slots from one to the parcel's.
func removeFrom(slot int) error {
	for ; slot <= wire.ParcelSlot; slot++ {
		if err := os.WriteFile(filepath.Join(pciDevices, wire.PCIDevice(slot), "remove"), []byte("1"), 0); err != nil {
			return fmt.Errorf("detach disk: %w", err)
		}
	}
	return nil
}
