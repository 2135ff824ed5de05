package ftrace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// rootGroupID is the number of the inode of the root of all control groups of version 2.
// That of a control group namespace has another.
const rootGroupID = 1

var errNoRootGroup = errors.New("the root of the control groups cannot be reached: this process is in a control group namespace")

// openRootGroup opens the root of the control groups of version 2: where it is mounted
// for us or for init, otherwise by a mount in dir that goes at once. Where it is mounted,
// a second mount would take away the options of the first.
func openRootGroup(dir string) (*os.File, error) {
	mounted := false
	for _, process := range []struct{ mounts, root string }{
		{"/proc/self/mountinfo", "/"}, {"/proc/1/mountinfo", "/proc/1/root"},
	} {
		text, err := os.ReadFile(process.mounts)
		if err != nil {
			continue // without it the other has to do
		}
		for m := range abi.Mounts(string(text)) {
			if m.Type != "cgroup2" {
				continue
			}
			mounted = true
			if f, err := openIfRootGroup(filepath.Join(process.root, m.Point)); err == nil {
				return f, nil
			}
		}
	}
	if mounted {
		return nil, errNoRootGroup
	}
	return mountRootGroup(dir)
}

func openIfRootGroup(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := checkRootGroup(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkRootGroup(f *os.File) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(int(f.Fd()), &fs), unix.Fstat(int(f.Fd()), &st)); err != nil {
		return err
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC || st.Ino != rootGroupID {
		return errNoRootGroup
	}
	return nil
}

// mountRootGroup mounts control groups of version 2 in a directory for as long as it
// takes to open their root.
func mountRootGroup(dir string) (f *os.File, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("mount control groups: %w", err)
	}
	defer func() { _ = os.Remove(dir) }() // what stays is empty, and used by the next start
	if err := unix.Mount("cgroup2", dir, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, fmt.Errorf("mount control groups: %w", err)
	}
	f, err = openIfRootGroup(dir)
	err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
	if err != nil {
		f.Close() // also nil
		return nil, fmt.Errorf("open root of the control groups: %w", err)
	}
	return f, nil
}
