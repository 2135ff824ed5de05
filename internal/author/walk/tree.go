package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
)

// Tree is arguments that name files and directories, and what is asked for in
// directories.
type Tree struct {
	In   Place
	Args []string
	// Executable keeps to what policies judge.
	Executable bool
	// Globs keep to files whose name matches one of them, or whose path below the argument
	// if it has a slash. [path.Match] knows their syntax.
	Globs []string
	// Without is an ending of names that are left out.
	Without string
}

// What became of a file that was listed.
var (
	// ErrNotAsked: policies do not judge it, and only what they judge is asked for.
	ErrNotAsked = errors.New("not asked for")
	// ErrNotRegular: it is a directory, a device or the like.
	ErrNotRegular = errors.New("not a regular file")
)

// Files yields the arguments and, in the place of directories, the regular files in them,
// by name. Symbolic links are followed among the arguments, nowhere else. Each file is to be
// let go by [File.Done].
func (t *Tree) Files(yield func(File) bool) {
	for _, arg := range t.Args {
		if !t.argument(arg, yield) {
			return
		}
	}
}

func (t *Tree) argument(arg string, yield func(File) bool) bool {
	st, err := t.In.stat(arg)
	if err == nil && st.IsDir() {
		return t.inDirectory(arg, yield)
	}
	file := t.In.Named(arg)
	if file.Err = err; err == nil && !st.Mode().IsRegular() {
		file.Err = notRegular(arg)
	}
	return yield(file)
}

func (t *Tree) inDirectory(arg string, yield func(File) bool) bool {
	d, err := t.In.directory(arg)
	if err != nil {
		return yield(File{Path: arg, Err: err})
	}
	defer d.release()
	d.judged = t.Executable
	return d.list("", func(rel string, e fs.DirEntry, err error) bool {
		if err == nil && (!e.Type().IsRegular() || !t.named(rel)) {
			return true
		}
		d.users.Add(1)
		return yield(File{Path: filepath.Join(d.path, rel), Rel: rel, Err: err, in: t.In, dir: d})
	})
}

// named reports whether a name below a directory is asked for.
func (t *Tree) named(rel string) bool {
	if t.Without != "" && strings.HasSuffix(rel, t.Without) {
		return false
	}
	for _, g := range t.Globs {
		name := rel
		if !strings.Contains(g, "/") {
			name = path.Base(rel)
		}
		if ok, _ := path.Match(g, name); ok {
			return true
		}
	}
	return len(t.Globs) == 0
}

// names are the arguments as a person reads them.
func (t *Tree) names() string {
	var shown []string
	for _, arg := range t.Args {
		shown = append(shown, plain.Name(arg))
	}
	return strings.Join(shown, " ")
}

// ErrNothing is the error when no file was asked for: a pattern that matches none must not
// look like success.
func (t *Tree) ErrNothing() error {
	return fmt.Errorf("%s: no file is asked for", t.names())
}

func notRegular(path string) error {
	return fmt.Errorf("%s: %w", plain.Name(path), ErrNotRegular)
}

// errLed marks a file that is reached by a symbolic link that was not there before.
func errLed(path string) error {
	return fmt.Errorf("open %s: a symbolic link took its place: %w", plain.Name(path), unix.ELOOP)
}
