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
	if parent != bpfDir || !inMountNamespaceOfInit() {
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

func inMountNamespaceOfInit() bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return false
	}
	inits, err := os.Readlink("/proc/1/ns/mnt")
	return err == nil && ours == inits
}
