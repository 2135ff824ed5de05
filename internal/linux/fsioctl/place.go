//go:build linux

package fsioctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// place is where a file lies, as far as it explains refusals.
type place struct {
	fs                  string
	device              string // for commands that a user can copy
	blockSize, pageSize int    // bytes
	attributes          uint64 // of statx(2)
	regular, directory  bool
	kernel              abi.Version
	// kernelHas: the driver of ext4 or f2fs was built with fs-verity.
	kernelHas bool
	// needSignatures is the sysctl fs.verity.require_signatures.
	needSignatures bool
}

func (p place) overlay() bool { return p.fs == "overlayfs" }

// fileSystems are names for numbers of linux/magic.h.
var fileSystems = map[uint32]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.SQUASHFS_MAGIC:        "squashfs",
	unix.EROFS_SUPER_MAGIC_V1:  "erofs",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.MSDOS_SUPER_MAGIC:     "vfat",
	unix.PROC_SUPER_MAGIC:      "proc",
	unix.SYSFS_MAGIC:           "sysfs",
}

// look gathers what can be known; what cannot, explains nothing.
func look(f *os.File) place {
	p := place{pageSize: os.Getpagesize(), regular: true, device: "DEVICE", fs: "of an unknown kind"}
	var fsys unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &fsys) == nil {
		p.blockSize = int(fsys.Bsize)
		p.fs = fileSystems[uint32(fsys.Type)]
		if p.fs == "" {
			p.fs = fmt.Sprintf("of type %#x", uint32(fsys.Type))
		}
	}
	var st unix.Statx_t
	if unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st) == nil {
		p.attributes = st.Attributes
		p.regular, p.directory = st.Mode&unix.S_IFMT == unix.S_IFREG, st.Mode&unix.S_IFMT == unix.S_IFDIR
		if at, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", st.Dev_major, st.Dev_minor)); err == nil {
			p.device = "/dev/" + filepath.Base(at)
		}
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		p.kernel, _ = abi.ParseVersion(unix.ByteSliceToString(name.Release[:]))
	}
	_, err := os.Stat("/sys/fs/" + p.fs + "/features/verity")
	p.kernelHas = err == nil
	need, err := os.ReadFile("/proc/sys/fs/verity/require_signatures")
	p.needSignatures = err == nil && strings.TrimSpace(string(need)) == "1"
	return p
}
