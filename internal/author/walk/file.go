package walk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/plain"
)

// File is a file among the arguments or in a directory, or with Err what could not be
// looked at.
type File struct {
	Path string // as it is printed
	Rel  string // below the argument; its last part if it is the argument itself
	Err  error

	in  Place
	dir *directory // that it was found in; nil for an argument
}

// Done lets the directory of a file go, which can be opened no more. It is to be called
// once.
func (f File) Done() {
	if f.dir != nil {
		f.dir.release()
	}
}

// Root is the directory that a file was found in, where its path is Rel; nil for an
// argument.
func (f File) Root() *os.Root {
	if f.dir == nil {
		return nil
	}
	return f.dir.root
}

// At is the absolute path of a file.
func (f File) At() string { return f.in.Locate(f.Path) }

// Open opens a file for reading. What it is, is looked at only now, at the one that is
// open. Errors: that of the file, ErrNotRegular, ErrNotAsked, and those of open(2).
func (f File) Open() (*Handle, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	h, err := f.open(OpenFlags)
	if err != nil {
		return nil, err
	}
	switch err = h.stat(); {
	case err != nil:
		err = fmt.Errorf("stat %s: %w", plain.Name(f.Path), err)
	case !h.Mode.IsRegular():
		err = notRegular(f.Path)
	case f.onlyJudged() && !Judged(f.At(), h.Mode, &h):
		err = ErrNotAsked
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return &h, nil
}

func (f File) onlyJudged() bool { return f.dir != nil && f.dir.judged }

func (f File) open(flags int) (Handle, error) {
	if f.dir == nil {
		return f.in.open(f.Path)
	}
	fd, err := f.dir.open(f.Rel, flags)
	return Handle{fd: fd, name: f.Path}, err
}

// Look is Open for those who only want to know that the file is there: it opens one for
// reading only if nothing but its content says whether it is asked for.
func (f File) Look() error {
	if f.Err != nil || !f.onlyJudged() {
		return f.Err
	}
	h, err := f.open(unix.O_PATH | unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer h.Close()
	switch err := h.stat(); {
	case err == nil && !h.Mode.IsRegular():
		return notRegular(f.Path)
	case err == nil && Judged(f.At(), h.Mode, noContent{}):
		return nil
	}
	content, err := f.Open()
	if err == nil {
		content.Close()
	}
	return err
}
