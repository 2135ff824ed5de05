// Package walk finds files for those who measure and seal them: what is in a directory,
// where a path leads, which operation of a policy judges a file.
//
// A [Tree] is the one way to walk. What it lists in a directory is what [File.Open] opens,
// or it is an error: no symbolic link is followed below the directory, even if it took the
// place of something since.
package walk

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/policy"
)

// Place is where the paths of arguments lead: the file system as it is, or only what
// lies below a directory, whatever symbolic links say.
type Place struct{ below *os.Root }

// At returns what is below a directory; for an empty name, the file system.
func At(dir string) (Place, error) {
	if dir == "" {
		return Place{}, nil
	}
	root, err := os.OpenRoot(dir)
	return Place{root}, err
}

// Close lets the directory go.
func (p Place) Close() {
	if p.below != nil {
		p.below.Close()
	}
}

// inside makes a path relative to the directory: there, / is the directory itself.
func (p Place) inside(path string) string {
	return filepath.Clean(strings.TrimLeft(path, "/"))
}

// Key is the same for names of the same file, as far as names tell.
func (p Place) Key(path string) string {
	if p.below != nil {
		return p.inside(path)
	}
	return filepath.Clean(path)
}

// Named is a file by its name, whatever it is. Symbolic links are followed.
func (p Place) Named(path string) File { return File{Path: path, Rel: filepath.Base(path), in: p} }

// OpenFlags are for reading, without waiting for the writer of a pipe, and without making
// a terminal that of the process.
const OpenFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY

func (p Place) stat(path string) (fs.FileInfo, error) {
	if p.below == nil {
		return os.Stat(path)
	}
	return p.below.Stat(p.inside(path))
}

// open opens a file for reading.
func (p Place) open(path string) (Handle, error) {
	if p.below == nil {
		fd, err := openat(unix.AT_FDCWD, path, OpenFlags)
		if err != nil {
			return Handle{}, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return Handle{fd: fd, name: path}, nil
	}
	f, err := p.below.OpenFile(p.inside(path), OpenFlags, 0)
	if err != nil {
		return Handle{}, err
	}
	return Handle{fd: int(f.Fd()), name: path, file: f}, nil
}

// openRoot opens a directory.
func (p Place) openRoot(path string) (*os.Root, error) {
	if p.below == nil {
		return os.OpenRoot(path)
	}
	return p.below.OpenRoot(p.inside(path))
}

// Judged reports whether policies judge a file: it has an executable bit, or begins as
// ELF files do (programs and libraries), or the kernel reads it, by its absolute path.
func Judged(at string, mode fs.FileMode, f io.ReaderAt) bool {
	return mode&0o111 != 0 || OperationAt(at) != policy.OpExecute || isELF(f)
}

// noContent is the content of a file that is not open yet.
type noContent struct{}

func (noContent) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
