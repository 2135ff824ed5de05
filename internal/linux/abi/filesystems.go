package abi

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// MountBPFFS makes sure that root can lie on a BPF file system. It mounts one at the
// usual place only where init would see it, too: in a mount namespace of its own it
// would end, and enforcement with it, when this process ends.
func MountBPFFS(root string) error {
	parent := filepath.Dir(root)
	if isBPFFS(parent) {
		return nil
	}
	if same, _, err := new(System).mountsOfInit(); parent != bpfDir || err != nil || !same {
		return fmt.Errorf("pin directory %s: %s is not on a BPF file system: mount -t bpf bpf %s", plain.Name(root), plain.Name(parent), hint.File(parent))
	}
	if err := unix.Mount("bpf", bpfDir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount BPF file system at %s: %w", bpfDir, err)
	}
	return nil
}

func isBPFFS(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.BPF_FS_MAGIC
}

// Processes, as /proc calls them.
const (
	thisProcess = "self"
	initProcess = "1"
)

// mountsOfInit reports whether this process has them. An error says of which process the
// namespace is not known.
func (s *System) mountsOfInit() (same bool, process string, err error) {
	var names [2]string
	for i, process := range [...]string{thisProcess, initProcess} {
		if names[i], err = os.Readlink(s.path("proc/" + process + "/ns/mnt")); err != nil {
			return false, process, err
		}
	}
	return names[0] == names[1], "", nil
}

// MountSecurityfs makes readable which security modules are active, and the control tree of
// the kernel's own IPE. Failing is no error here: whoever looks for either says what is
// missing.
func MountSecurityfs() {
	const dir = "/sys/kernel/security"
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil && st.Type != unix.SECURITYFS_MAGIC {
		_ = unix.Mount("securityfs", dir, "securityfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
}
