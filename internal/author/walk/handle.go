package walk

import (
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

// Handle is a file that is open for reading, by its number. For an os.File there
// are five more system calls, to find out how to wait for it; where there are
// thousands of small files, that is much of the time.
type Handle struct {
	fd   int
	file *os.File // whose number it is, or nil
}

// FileID is the same for all names of a file.
type FileID struct{ dev, ino uint64 }

// Handle opens a file as open does.
func (p Place) Handle(path string) (Handle, error) {
	if p.below != nil {
		f, err := p.open(path)
		if err != nil {
			return Handle{}, err
		}
		return Handle{int(f.Fd()), f}, nil
	}
	fd := -1
	err := eintr.Again(func() (err error) {
		fd, err = unix.Open(path, OpenFlags|unix.O_CLOEXEC|unix.O_LARGEFILE, 0)
		return err
	})
	if err != nil {
		return Handle{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return Handle{fd, nil}, nil
}

// HandleOf is the handle of an open file: to close one is to close the other.
func HandleOf(f *os.File) Handle { return Handle{int(f.Fd()), f} }

// FD is the number of the file.
func (h Handle) FD() int { return h.fd }

// Close has no result: nothing was written.
func (h Handle) Close() {
	if h.file != nil {
		h.file.Close()
		return
	}
	_ = unix.Close(h.fd)
}

// Stat tells size, permissions and which file it is.
func (h Handle) Stat() (size int64, mode fs.FileMode, id FileID, err error) {
	var st unix.Stat_t
	if err := eintr.Again(func() error { return unix.Fstat(h.fd, &st) }); err != nil {
		return 0, 0, id, err
	}
	return st.Size, fileMode(st.Mode), IDOf(&st), nil
}

// Identify says which file has a name, whatever symbolic links lead to it.
func Identify(name string) (FileID, error) {
	var st unix.Stat_t
	err := eintr.Again(func() error { return unix.Stat(name, &st) })
	return IDOf(&st), err
}

// IDOf tells which file has this status.
func IDOf(st *unix.Stat_t) FileID {
	return FileID{uint64(st.Dev), st.Ino} //nolint:unconvert // it has 32 bits on MIPS
}

// fileMode translates permissions and the bits that change whose rights a program
// has. Of the kinds of files it knows regular ones and others.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode) & fs.ModePerm
	for _, b := range [...]struct {
		bit  uint32
		flag fs.FileMode
	}{{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky}} {
		if mode&b.bit != 0 {
			m |= b.flag
		}
	}
	if mode&unix.S_IFMT != unix.S_IFREG {
		m |= fs.ModeIrregular
	}
	return m
}

// ReadAt is that of io.ReaderAt.
func (h Handle) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		k := 0
		err := eintr.Again(func() (err error) { k, err = unix.Pread(h.fd, p[n:], offset+int64(n)); return err })
		if err != nil {
			return n, err
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}
