package cli

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

// place is where the paths of files lead: the file system as it is, or only what
// lies below a directory, whatever symbolic links say.
type place struct{ below *os.Root }

// placeAt returns what is below a directory; for an empty name, the file system.
func placeAt(dir string) (place, error) {
	if dir == "" {
		return place{}, nil
	}
	root, err := os.OpenRoot(dir)
	return place{root}, err
}

func (p place) close() {
	if p.below != nil {
		p.below.Close()
	}
}

// inside makes a path relative to the directory: there, / is the directory itself.
func (p place) inside(path string) string {
	return filepath.Clean(strings.TrimLeft(path, "/"))
}

// key is the same for names of the same file, as far as names tell.
func (p place) key(path string) string {
	if p.below != nil {
		return p.inside(path)
	}
	return filepath.Clean(path)
}

// openFlags are for reading, without waiting for the writer of a pipe.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK

// open opens a file for reading.
func (p place) open(path string) (*os.File, error) {
	if p.below == nil {
		return os.OpenFile(path, openFlags, 0)
	}
	return p.below.OpenFile(p.inside(path), openFlags, 0)
}

func (p place) stat(path string) (fs.FileInfo, error) {
	if p.below == nil {
		return os.Stat(path)
	}
	return p.below.Stat(p.inside(path))
}

func (p place) walk(path string, do fs.WalkDirFunc) error {
	if p.below == nil {
		// With the slash, a symbolic link is followed here, and only here.
		return filepath.WalkDir(path+"/", do)
	}
	return fs.WalkDir(p.below.FS(), p.inside(path), do)
}

// files yields the given files and, for directories, all regular files in them that
// keep wants, by name. Symbolic links are followed among the arguments, not in
// directories.
func (p place) files(paths []string, keep keeper) iter.Seq[measureJob] {
	return func(yield func(measureJob) bool) {
		for _, path := range paths {
			if !p.filesOf(path, keep, yield) {
				return
			}
		}
	}
}

// filesOf yields the files of one path. It returns false if nobody wants more.
func (p place) filesOf(path string, keep keeper, yield func(measureJob) bool) bool {
	st, err := p.stat(path)
	if err != nil || !st.IsDir() {
		return yield(measureJob{path: path, err: err})
	}
	more := true
	_ = p.walk(path, func(path string, d fs.DirEntry, err error) error {
		wanted := err == nil && d.Type().IsRegular()
		if wanted && keep != nil {
			wanted, err = keep(p, path, d)
		}
		if wanted || err != nil {
			more = yield(measureJob{path: path, err: err})
		}
		if !more {
			return fs.SkipAll
		}
		return nil
	})
	return more
}

// keeper says whether a file in a directory is wanted; a nil one wants all.
type keeper func(in place, path string, d fs.DirEntry) (bool, error)

func keeping(executable bool) keeper {
	if executable {
		return judgedFiles
	}
	return nil
}

// onlyJudged is the help for the flag that keeps to what policies judge.
const onlyJudged = "in directories, only files with an executable bit, ELF files, and by their names what the kernel reads: modules, firmware, kernels to boot"

// judgedFiles keeps what judged does.
func judgedFiles(in place, path string, d fs.DirEntry) (bool, error) {
	info, err := d.Info()
	if err != nil {
		return false, err
	}
	if judged(in.locate(path), info.Mode(), noContent{}) {
		return true, nil
	}
	f, err := in.open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return isELF(f), nil
}

// judged reports whether policies judge a file: it has an executable bit, or begins as
// ELF files do (programs and libraries), or the kernel reads it, by its absolute path.
func judged(at string, mode fs.FileMode, f io.ReaderAt) bool {
	return mode&0o111 != 0 || operationAt(at) != policy.OpExecute || isELF(f)
}

// noContent is the content of a file that is not open yet.
type noContent struct{}

func (noContent) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
