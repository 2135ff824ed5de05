package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// handle is a file that is open for reading, by its number. For an os.File there
// are five more system calls, to find out how to wait for it; where there are
// thousands of small files, that is much of the time.
type handle struct {
	fd   int
	file *os.File // whose number it is, or nil
}

// fileID is the same for all names of a file.
type fileID struct{ dev, ino uint64 }

// handle opens a file as open does.
func (p place) handle(path string) (handle, error) {
	if p.below != nil {
		f, err := p.open(path)
		if err != nil {
			return handle{}, err
		}
		return handle{int(f.Fd()), f}, nil
	}
	fd, err := again(func() (int, error) { return unix.Open(path, openFlags|unix.O_CLOEXEC|unix.O_LARGEFILE, 0) })
	if err != nil {
		return handle{}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return handle{fd, nil}, nil
}

// close has no result: nothing was written.
func (h handle) close() {
	if h.file != nil {
		h.file.Close()
		return
	}
	_ = unix.Close(h.fd)
}

func (h handle) stat() (size int64, mode fs.FileMode, id fileID, err error) {
	var st unix.Stat_t
	if _, err := again(func() (int, error) { return 0, unix.Fstat(h.fd, &st) }); err != nil {
		return 0, 0, id, err
	}
	return st.Size, fileMode(st.Mode), idOf(&st), nil
}

// identify says which file has a name, whatever symbolic links lead to it.
func identify(name string) (fileID, error) {
	var st unix.Stat_t
	_, err := again(func() (int, error) { return 0, unix.Stat(name, &st) })
	return idOf(&st), err
}

func idOf(st *unix.Stat_t) fileID {
	return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // it has 32 bits on MIPS
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
func (h handle) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		k, err := again(func() (int, error) { return unix.Pread(h.fd, p[n:], offset+int64(n)) })
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

// again makes a system call until no signal interrupts it.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
