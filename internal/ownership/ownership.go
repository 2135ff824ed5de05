// Package ownership tells whether only root can change what a path names. A file that
// says whom to trust, or what to enforce, is worth no more than the least of the
// directories on the way to it: a user who may write to one can move the rest aside.
package ownership

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/internal/plain"
)

// maxLinks is how many symbolic links a path may lead through: as many as the kernel
// follows.
const maxLinks = 40

// othersMayWrite are the permissions that only root may have.
const othersMayWrite fs.FileMode = 0o022

// Error says which part of a path others than root can change.
type Error struct {
	// Path is that part.
	Path string
	// Reason is what is wrong with it, Fix the command that mends it.
	Reason, Fix string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s %s (run: %s)", plain.Name(e.Path), e.Reason, e.Fix)
}

// Hint says what to do.
func (e *Error) Hint() string { return "run: " + e.Fix }

var errLinks = errors.New("too many symbolic links")

// Check returns an *Error if somebody other than root, or the user who runs this, can
// change what path names: it, the directories on the way, symbolic links and all that
// they lead through must belong to root and be writable for nobody else. Others may
// write to a directory on the way if it is sticky, as /tmp, for they can neither move
// nor replace what is not theirs there. Other errors are those of the file system.
//
// What Check has found good stays so unless root changes it, so a caller may open the
// path afterwards.
func Check(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("check owner: %w", err)
	}
	w := walk{at: "/", left: parts(abs)}
	if err := w.run(); err != nil {
		return fmt.Errorf("check owner: %w", err)
	}
	return nil
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

// walk goes down a path one part at a time. at is where it is, without links.
type walk struct {
	at    string
	left  []string
	links int
}

func (w *walk) run() error {
	if err := w.look("/"); err != nil {
		return err
	}
	for len(w.left) > 0 {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step() error {
	name := w.left[0]
	w.left = w.left[1:]
	switch name {
	case ".":
		return nil
	case "..":
		w.at = filepath.Dir(w.at)
		return nil
	}
	return w.look(filepath.Join(w.at, name))
}

// look judges one part and enters it, or what the link there leads to.
func (w *walk) look(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if err := checkOwner(path, info); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return w.follow(path)
	}
	w.at = path
	return checkMode(path, info, len(w.left) == 0)
}

func (w *walk) follow(link string) error {
	target, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if w.links++; w.links > maxLinks {
		return &fs.PathError{Op: "follow", Path: link, Err: errLinks}
	}
	if filepath.IsAbs(target) {
		w.at = "/"
	}
	w.left = append(parts(target), w.left...)
	return nil
}

func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid()) {
		return nil
	}
	reason := "belongs to a user that is not known"
	if ok {
		reason = fmt.Sprintf("belongs to uid %d and must belong to root", st.Uid)
	}
	return &Error{Path: path, Reason: reason, Fix: "chown -h root " + hint.File(path)}
}

// checkMode allows a sticky directory on the way, and not at the end, where others
// could add files.
func checkMode(path string, info fs.FileInfo, last bool) error {
	if info.Mode()&othersMayWrite == 0 || info.IsDir() && info.Mode()&fs.ModeSticky != 0 && !last {
		return nil
	}
	return &Error{Path: path, Reason: "may be written by others than root", Fix: "chmod go-w " + hint.File(path)}
}
