package preflight

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
)

// maxOpened bounds the files that are open for one question.
const maxOpened = 512

// opened is programs that are there, open.
type opened struct{ all []openProgram }

// openProgram is one of them. Its file is nil if it could not be opened.
type openProgram struct {
	path, role string
	f          *os.File
}

// openAll opens programs, and what they name: interpreters and libraries, which have
// the same role.
func openAll(programs []program) *opened {
	o := &opened{}
	have := map[string]bool{}
	libraries := libraryDirs()
	for queue := slices.Clone(programs); len(queue) > 0 && len(o.all) < maxOpened; queue = queue[1:] {
		p := openFirst(queue[0], have)
		if p.f == nil {
			continue
		}
		have[p.key()] = true
		o.all = append(o.all, p)
		queue = append(queue, named(p.f, p.role, libraries)...)
	}
	return o
}

func (p openProgram) key() string { return p.role + " " + p.path }

// openFirst opens a program at the first place that has it, unless that is open.
func openFirst(p program, have map[string]bool) openProgram {
	for _, path := range p.places {
		o := openProgram{path: path, role: p.role}
		if have[o.key()] {
			return o
		}
		o.f = openRegular(path)
		if o.f != nil && (p.machine == "" || machineOf(o.f) == p.machine) {
			return o
		}
		if o.f != nil {
			o.f.Close()
		}
	}
	return openProgram{}
}

// openEach opens these, each at its index.
func openEach(paths []string) *opened {
	o := &opened{}
	for _, path := range paths {
		p := openProgram{path: path}
		if len(o.all) < maxOpened {
			p.f = openRegular(path)
		}
		o.all = append(o.all, p)
	}
	return o
}

func (o *opened) files() (all []*os.File) {
	for _, p := range o.all {
		if p.f != nil {
			all = append(all, p.f)
		}
	}
	return all
}

// index finds the program of a use by this process.
func (o *opened) index(u engine.Use, self uint32) (int, bool) {
	if u.Kind != engine.Open || u.PID != self {
		return 0, false
	}
	i := slices.IndexFunc(o.all, func(p openProgram) bool { return p.f != nil && uint32(p.f.Fd()) == u.File })
	return i, i >= 0
}

func (o *opened) close() {
	for _, f := range o.files() {
		f.Close()
	}
}

// slow are file systems that ask somebody else, who may never answer. None of them has
// facts, nor would the programs be of use that lie there when nobody answers.
func slow(magic uint32) bool {
	switch magic {
	case unix.FUSE_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.AUTOFS_SUPER_MAGIC:
		return true
	}
	return false
}

// openRegular opens a regular file, nil if it is none. Its name is looked up first,
// without asking a driver for anything.
func openRegular(path string) *os.File {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(at)
	var st unix.Stat_t
	var fsys unix.Statfs_t
	if unix.Fstatfs(at, &fsys) != nil || slow(uint32(fsys.Type)) || unix.Fstat(at, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), path)
}
