package recall

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine/bpf/record"
)

// verityFilesInUse opens each fs-verity file that some process has open or mapped, and
// calls fn, until that fails. Processes come and go meanwhile: whoever opens a file now
// does so before the eyes of the engine.
//
// The kernel itself tells which files these are, by the programs of bpf/inuse.h. To ask
// every file would be to ask every file system: a FUSE server, which may be anybody's,
// could let us wait for ever.
func verityFilesInUse(programs map[string]*ebpf.Program, fn func(*os.File) error) error {
	visited := map[uint64]bool{}
	for _, name := range []string{"ipe_mapped_files", "ipe_open_files"} {
		err := listInUse(programs[name], func(u record.InUse) error {
			if visited[u.Inode] {
				return nil
			}
			opened, err := visit(u, fn)
			visited[u.Inode] = opened
			return err
		})
		if err != nil {
			return fmt.Errorf("list files in use: %w", err)
		}
	}
	return nil
}

// listInUse calls fn with each use of a file that an iterator finds.
func listInUse(p *ebpf.Program, fn func(record.InUse) error) error {
	l, err := link.AttachIter(link.IterOptions{Program: p})
	if err != nil {
		return err
	}
	defer l.Close()
	found, err := l.Open()
	if err != nil {
		return err
	}
	defer found.Close()
	return record.EachInUse(found, fn)
}

// visit calls fn with a file in use. It is not opened if it is another by now, or gone;
// then somebody else may still use it.
func visit(u record.InUse, fn func(*os.File) error) (opened bool, err error) {
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, u.Link(), flags, unix.STATX_TYPE, &st) != nil {
		return false, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Attributes&unix.STATX_ATTR_VERITY == 0 {
		return false, nil
	}
	f, err := os.OpenFile(u.Link(), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	return true, fn(f)
}
