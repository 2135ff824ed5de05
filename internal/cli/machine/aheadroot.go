package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/plain"
)

// The superblock of ext4, by its kernel documentation: it begins at 1024 bytes.
const (
	extSuperblock = 1024
	extMagicAt    = 0x38
	extMagic      = 0xEF53
	extROCompatAt = 0x64
	extVerity     = 0x8000 // EXT4_FEATURE_RO_COMPAT_VERITY
)

var errNoExt = errors.New("no superblock of ext4")

// rootVerity looks whether files of the root file system can have fs-verity digests.
func (r road) rootVerity() step {
	const name = "fs-verity on the root"
	root, err := r.rootMount()
	if err != nil {
		return unseen(name, err, "mount /proc")
	}
	const elsewhere = "keep what is to be sealed on ext4, f2fs or btrfs, or on a dm-verity volume"
	switch root.Type {
	case "btrfs":
		return done(name, "btrfs has it always")
	case "ext4":
		return r.extVerity(name, root.Source, root.Device)
	case "f2fs":
		return r.f2fsVerity(name, root.Source)
	}
	return lacking(name, root.Type+" has no fs-verity", elsewhere)
}

// rootMount reads what is mounted at /.
func (r road) rootMount() (abi.Mount, error) {
	text, err := os.ReadFile(r.at("/proc/self/mountinfo"))
	if err != nil {
		return abi.Mount{}, err
	}
	m := abi.MountedAt(string(text), "/")
	if m.Type == "" {
		return m, errors.New("/proc/self/mountinfo does not tell what is mounted at /")
	}
	return m, nil
}

func (r road) extVerity(name, device, number string) step {
	on, err := extHasVerity(r.at("/dev/block/" + number))
	switch fix := fmt.Sprintf("tune2fs -O verity %s turns it on", hint.Device(device)); {
	case errors.Is(err, os.ErrNotExist):
		return unseen(name, err, "run this where /dev/block is: udev makes it")
	case err != nil:
		return unseen(name, err, "tune2fs -l "+hint.Device(device)+" lists verity among the features if it is on")
	case !on:
		return lacking(name, "ext4 on "+plain.Name(device)+" is without the feature verity", fix)
	}
	return done(name, "ext4 on %s has the feature verity", plain.Name(device))
}

// extHasVerity reads the superblock from the device.
func extHasVerity(device string) (bool, error) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sb := make([]byte, 1024)
	if _, err := f.ReadAt(sb, extSuperblock); err != nil {
		return false, fmt.Errorf("%s: %w", device, err)
	}
	if binary.LittleEndian.Uint16(sb[extMagicAt:]) != extMagic {
		return false, fmt.Errorf("%s: %w", device, errNoExt)
	}
	return binary.LittleEndian.Uint32(sb[extROCompatAt:])&extVerity != 0, nil
}

// f2fsVerity asks the kernel, which lists the features of what is mounted.
func (r road) f2fsVerity(name, device string) step {
	text, err := os.ReadFile(r.at(filepath.Join("/sys/fs/f2fs", filepath.Base(device), "features")))
	switch {
	case err != nil:
		return unseen(name, err, "dump.f2fs "+hint.Device(device)+" lists verity among the features if it is on")
	case !strings.Contains(" "+strings.ReplaceAll(strings.TrimSpace(string(text)), ",", " ")+" ", " verity "):
		return step{Name: name, State: abi.No, Detail: "f2fs on " + plain.Name(device) + " is without the feature verity",
			Fix: "fsck.f2fs -O verity " + hint.Device(device) + " turns it on, while it is not mounted"}
	}
	return done(name, "f2fs on %s has the feature verity", plain.Name(device))
}
