package walk

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

// directory is one among the arguments. It is open as long as files of it are in use.
type directory struct {
	path   string // what the paths of its files begin with
	op     string // what errors call it to open a file
	judged bool   // whether only files that policies judge are asked for
	root   *os.Root
	self   *os.File // root, by a number
	users  atomic.Int32
}

// directory opens one; a symbolic link to it is followed.
func (p Place) directory(arg string) (*directory, error) {
	d := &directory{path: arg, op: "open"}
	if p.below != nil {
		d.path, d.op = p.inside(arg), "openat"
	}
	var err error
	if d.root, err = p.openRoot(arg); err != nil {
		return nil, err
	}
	if d.self, err = d.root.Open("."); err != nil {
		d.root.Close()
		return nil, err
	}
	d.users.Store(1)
	return d, nil
}

// release closes the directory when nobody uses it any more.
func (d *directory) release() {
	if d.users.Add(-1) == 0 {
		d.self.Close()
		d.root.Close()
	}
}

// list gives what is in a directory below, by name, and in the place of directories what is
// in them, until give returns false. What cannot be listed is given with the error.
func (d *directory) list(rel string, give func(rel string, e fs.DirEntry, err error) bool) bool {
	entries, err := d.read(rel)
	if err != nil && !give(rel, nil, err) {
		return false
	}
	for _, e := range entries {
		var more bool
		if below := path.Join(rel, e.Name()); e.IsDir() {
			more = d.list(below, give)
		} else {
			more = give(below, e, nil)
		}
		if !more {
			return false
		}
	}
	return true
}

// read returns what is in a directory below, by name, and with an error what could be read.
func (d *directory) read(rel string) ([]fs.DirEntry, error) {
	fd, err := d.open(cmp.Or(rel, "."), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), filepath.Join(d.path, rel))
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// open opens what is below without being led elsewhere: no symbolic link is followed on
// the way, should one have taken the place of what was listed.
func (d *directory) open(rel string, flags int) (fd int, err error) {
	fd, err = beneath(int(d.self.Fd()), rel, flags)
	runtime.KeepAlive(d)
	name := filepath.Join(d.path, rel)
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, errLed(name)
	case err != nil:
		return -1, &fs.PathError{Op: d.op, Path: name, Err: err}
	}
	return fd, nil
}

// beneath opens what is beneath a directory, and follows no symbolic link. Where there is no
// openat2, which kernels have since 5.6 and sandboxes may withhold, it goes step by step.
func beneath(dir int, rel string, flags int) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_LARGEFILE),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	err = eintr.Again(func() (err error) { fd, err = unix.Openat2(dir, rel, &how); return err })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return stepwise(dir, rel, flags)
	}
	return fd, err
}

// stepwise is beneath by a call for each part of the path.
func stepwise(dir int, rel string, flags int) (fd int, err error) {
	for at := dir; ; {
		part, rest, more := strings.Cut(rel, "/")
		if more {
			fd, err = openat(at, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		} else {
			fd, err = openat(at, part, flags|unix.O_NOFOLLOW)
		}
		if at != dir {
			_ = unix.Close(at)
		}
		if err != nil || !more {
			return fd, err
		}
		at, rel = fd, rest
	}
}

// openat is openat(2), again if a signal interrupted it.
func openat(dir int, name string, flags int) (fd int, err error) {
	err = eintr.Again(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_LARGEFILE, 0)
		return err
	})
	return fd, err
}
