package walk

import (
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/eintr"
)

// Handle is a regular file that is open for reading, by its number. For an os.File there
// are five more system calls, to find out how to wait for it; where there are thousands of
// small files, that is much of the time.
type Handle struct {
	Size  int64
	Mode  fs.FileMode
	ID    FileID
	Links uint64 // how many names it has

	fd   int
	name string
	file *os.File // whose number it is, or nil
}

// FileID is the same for all names of a file.
type FileID struct{ dev, ino uint64 }

// FD is the number of the file.
func (h *Handle) FD() int { return h.fd }

// File is the same file: to close one is to close the other.
func (h *Handle) File() *os.File {
	if h.file == nil {
		h.file = os.NewFile(uintptr(h.fd), h.name)
	}
	return h.file
}

// Close has no result: nothing was written.
func (h *Handle) Close() {
	if h.file != nil {
		h.file.Close()
		return
	}
	_ = unix.Close(h.fd)
}

// stat finds out what the file is.
func (h *Handle) stat() error {
	var st unix.Stat_t
	if err := eintr.Again(func() error { return unix.Fstat(h.fd, &st) }); err != nil {
		return err
	}
	h.Size, h.Mode, h.ID = st.Size, fileMode(st.Mode), idOf(&st)
	h.Links = uint64(st.Nlink) //nolint:unconvert // it has 32 bits on arm64
	return nil
}

// Identify says which file has a name, whatever symbolic links lead to it.
func Identify(name string) (FileID, error) {
	var st unix.Stat_t
	err := eintr.Again(func() error { return unix.Stat(name, &st) })
	return idOf(&st), err
}

// idOf tells which file has this status.
func idOf(st *unix.Stat_t) FileID {
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
func (h *Handle) ReadAt(p []byte, offset int64) (n int, err error) {
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
