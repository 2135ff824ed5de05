package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// treeFile is a file among the arguments or in a directory, to be opened without being
// led elsewhere.
type treeFile struct {
	path string // as it is printed
	rel  string // below the argument; its last part if it is the argument itself
	dir  *os.File
	root *os.Root // dir, for those who write to it
	err  error
}

// tree are the arguments of a command that changes or asks files, not copies of them:
// what is selected is the very file that is opened.
type tree struct {
	args       []string
	executable bool
	globs      []string
	without    string // ending of names that are left out in directories

	dirs []io.Closer
}

// onlyJudged is the help for the flag that keeps to what policies judge.
const onlyJudged = "in directories, only files with an executable bit, ELF files, and by their names what the kernel reads: modules, firmware, kernels to boot"

func (t *tree) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&t.executable, "executable", false, onlyJudged)
	fl.StringArrayVar(&t.globs, "glob", nil, "in directories, only files whose name matches this `pattern`, or whose path below the directory if it has a slash; may be repeated")
}

func (t *tree) check(cmd *cobra.Command) error {
	for _, g := range t.globs {
		if _, err := path.Match(g, ""); err != nil {
			return ui.Usage(cmd, "--glob %s: %w", g, err)
		}
	}
	return nil
}

// walk gives the arguments and, in their place, what is in directories, by name, until
// give returns false. Symbolic links are followed among the arguments, nowhere else.
func (t *tree) walk(give func(treeFile) bool) {
	for _, arg := range t.args {
		st, err := os.Stat(arg)
		switch {
		case err == nil && st.IsDir():
			if !t.walkDir(arg, give) {
				return
			}
		case err == nil && !st.Mode().IsRegular():
			err = fmt.Errorf("%s: %w", plain.Name(arg), errNotRegular)
			fallthrough
		default:
			if !give(treeFile{path: arg, rel: filepath.Base(arg), err: err}) {
				return
			}
		}
	}
}

func (t *tree) walkDir(root string, give func(treeFile) bool) bool {
	below, err := os.OpenRoot(root)
	if err != nil {
		return give(treeFile{path: root, err: err})
	}
	t.dirs = append(t.dirs, below)
	dir, err := below.Open(".")
	if err != nil {
		return give(treeFile{path: root, err: err})
	}
	t.dirs = append(t.dirs, dir)
	more := true
	// With the slash, a symbolic link is followed here, and only here.
	_ = filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimLeft(strings.TrimPrefix(path, root), "/")
		if err == nil && (!d.Type().IsRegular() || t.without != "" && strings.HasSuffix(rel, t.without) || !t.named(rel)) {
			return nil
		}
		if more = give(treeFile{path: path, rel: rel, dir: dir, root: below, err: err}); !more {
			return fs.SkipAll
		}
		return nil
	})
	return more
}

// named reports whether a name below a directory is asked for.
func (t *tree) named(rel string) bool {
	for _, g := range t.globs {
		name := rel
		if !strings.Contains(g, "/") {
			name = path.Base(rel)
		}
		if ok, _ := path.Match(g, name); ok {
			return true
		}
	}
	return len(t.globs) == 0
}

// names are the arguments as a person reads them.
func (t *tree) names() string {
	var shown []string
	for _, arg := range t.args {
		shown = append(shown, plain.Name(arg))
	}
	return strings.Join(shown, " ")
}

// nothing is the error when no file was asked for: a pattern that matches none must not
// look like success.
func (t *tree) nothing() error {
	return fmt.Errorf("%s: no file is asked for", t.names())
}

// close closes the directories; no file of them can be opened any more.
func (t *tree) close() {
	for _, d := range t.dirs {
		d.Close()
	}
}

// open opens a file for reading. The file is nil if it is not asked for: what it is, is
// looked at only now, at the one that is open.
func (t *tree) open(file treeFile) (*os.File, fs.FileInfo, error) {
	if file.err != nil {
		return nil, nil, file.err
	}
	f, err := file.open()
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", plain.Name(file.path), errNotRegular)
	}
	if err != nil || file.dir != nil && t.executable && !walk.Judged(walk.Place{}.Locate(file.path), st.Mode(), f) {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// open opens the file, not waiting for the writer of a pipe that took its place. In a
// directory no symbolic link is followed on the way, should one have taken the place of
// what was listed.
func (file treeFile) open() (*os.File, error) {
	const flags = walk.OpenFlags | unix.O_NOCTTY | unix.O_CLOEXEC
	if file.dir == nil {
		return os.OpenFile(file.path, flags, 0)
	}
	fd, err := unix.Openat2(int(file.dir.Fd()), file.rel, &unix.OpenHow{
		Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("open %s: a symbolic link took its place: %w", plain.Name(file.path), err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: file.path, Err: err}
	}
	return os.NewFile(uintptr(fd), file.path), nil
}
