package bpf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// verityTypes are the file systems that can have fs-verity files. Nothing is asked of
// any other: a FUSE server, which may be anybody's, could let us wait for ever.
var verityTypes = []string{"ext4", "f2fs", "btrfs", "xfs"}

// verityFilesInUse opens each fs-verity file that some process has open or mapped, and
// calls fn, until that fails. Processes come and go meanwhile: whoever opens a file now
// does so before the eyes of the engine.
func verityFilesInUse(fn func(*os.File) error) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	visited := map[inode]bool{}
	for _, dir := range processes {
		for _, path := range candidates(dir) {
			if err := visit(path, visited, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

type inode struct {
	major, minor uint32
	number       uint64
}

// visit calls fn with the file behind a link of procfs, if it is an fs-verity file that
// was not met before.
func visit(path string, visited map[inode]bool, fn func(*os.File) error) error {
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_TYPE|unix.STATX_INO, &st) != nil {
		return nil // it is gone
	}
	key := inode{st.Dev_major, st.Dev_minor, st.Ino}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Attributes&unix.STATX_ATTR_VERITY == 0 || visited[key] {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	visited[key] = true
	return fn(f)
}

// candidates lists the links of procfs to the files of one process that may have
// fs-verity. What cannot be read belongs to a process that has ended.
func candidates(dir string) []string {
	mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	if err != nil {
		return nil
	}
	ids, devices := parseMounts(string(mounts))
	if len(ids) == 0 {
		return nil
	}
	var paths []string
	if maps, err := os.ReadFile(filepath.Join(dir, "maps")); err == nil {
		for _, name := range parseMaps(string(maps), devices) {
			paths = append(paths, filepath.Join(dir, "map_files", name))
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "fdinfo"))
	if err != nil {
		return paths
	}
	for _, d := range entries {
		info, err := os.ReadFile(filepath.Join(dir, "fdinfo", d.Name()))
		if err == nil && ids[mountOf(string(info))] {
			paths = append(paths, filepath.Join(dir, "fd", d.Name()))
		}
	}
	return paths
}

// parseMounts reads mountinfo: the ids and the devices of mounts of the right types.
func parseMounts(text string) (ids, devices map[string]bool) {
	ids, devices = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		head, tail, _ := strings.Cut(line, " - ")
		f, t := strings.Fields(head), strings.Fields(tail)
		if len(f) > 2 && len(t) > 0 && slices.Contains(verityTypes, t[0]) {
			ids[f[0]] = true
			major, minor, _ := strings.Cut(f[2], ":")
			devices[major+":"+minor] = true
		}
	}
	return ids, devices
}

// parseMaps reads maps: the names below map_files, one for each file of these devices.
func parseMaps(text string, devices map[string]bool) []string {
	var names []string
	visited := map[string]bool{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || f[4] == "0" || !devices[decimal(f[3])] || visited[f[3]+" "+f[4]] {
			continue
		}
		visited[f[3]+" "+f[4]] = true
		from, to, _ := strings.Cut(f[0], "-")
		names = append(names, strings.TrimLeft(from, "0")+"-"+strings.TrimLeft(to, "0"))
	}
	return names
}

// decimal makes of "MAJOR:MINOR" in hexadecimal digits the same in decimal ones.
func decimal(device string) string {
	var major, minor uint32
	if _, err := fmt.Sscanf(device, "%x:%x", &major, &minor); err != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// mountOf reads the mount's id from fdinfo.
func mountOf(info string) string {
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}
