// Package walk finds files for those who measure and seal them: where a path leads, what is
// in a directory, which operation of a policy judges a file.
package walk

import (
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/policy"
)

// Place is where the paths of files lead: the file system as it is, or only what
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

// OpenFlags are for reading, without waiting for the writer of a pipe.
const OpenFlags = unix.O_RDONLY | unix.O_NONBLOCK

// open opens a file for reading.
func (p Place) open(path string) (*os.File, error) {
	if p.below == nil {
		return os.OpenFile(path, OpenFlags, 0)
	}
	return p.below.OpenFile(p.inside(path), OpenFlags, 0)
}

func (p Place) stat(path string) (fs.FileInfo, error) {
	if p.below == nil {
		return os.Stat(path)
	}
	return p.below.Stat(p.inside(path))
}

func (p Place) walk(path string, do fs.WalkDirFunc) error {
	if p.below == nil {
		// With the slash, a symbolic link is followed here, and only here.
		return filepath.WalkDir(path+"/", do)
	}
	return fs.WalkDir(p.below.FS(), p.inside(path), do)
}

// Files yields the given files and, for directories, all regular files in them that
// keep wants, by name. Symbolic links are followed among the arguments, not in
// directories.
func (p Place) Files(paths []string, keep Keeper) iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, path := range paths {
			if !p.filesOf(path, keep, yield) {
				return
			}
		}
	}
}

// filesOf yields the files of one path. It returns false if nobody wants more.
func (p Place) filesOf(path string, keep Keeper, yield func(File) bool) bool {
	st, err := p.stat(path)
	if err != nil || !st.IsDir() {
		return yield(File{Path: path, Err: err})
	}
	more := true
	_ = p.walk(path, func(path string, d fs.DirEntry, err error) error {
		wanted := err == nil && d.Type().IsRegular()
		if wanted && keep != nil {
			wanted, err = keep(p, path, d)
		}
		if wanted || err != nil {
			more = yield(File{Path: path, Err: err})
		}
		if !more {
			return fs.SkipAll
		}
		return nil
	})
	return more
}

// File is a file that was found, or with Err what could not be looked at.
type File struct {
	Path string
	Err  error
}

// Keeper says whether a file in a directory is wanted; a nil one wants all.
type Keeper func(in Place, path string, d fs.DirEntry) (bool, error)

// Keeping keeps to what policies judge, if it is asked to.
func Keeping(executable bool) Keeper {
	if executable {
		return judgedFiles
	}
	return nil
}

// judgedFiles keeps what Judged does.
func judgedFiles(in Place, path string, d fs.DirEntry) (bool, error) {
	info, err := d.Info()
	if err != nil {
		return false, err
	}
	if Judged(in.Locate(path), info.Mode(), noContent{}) {
		return true, nil
	}
	f, err := in.open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return isELF(f), nil
}

// Judged reports whether policies judge a file: it has an executable bit, or begins as
// ELF files do (programs and libraries), or the kernel reads it, by its absolute path.
func Judged(at string, mode fs.FileMode, f io.ReaderAt) bool {
	return mode&0o111 != 0 || OperationAt(at) != policy.OpExecute || isELF(f)
}

// noContent is the content of a file that is not open yet.
type noContent struct{}

func (noContent) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
