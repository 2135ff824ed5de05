package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/trail"
)

// file is a log in auditd's format. Like auditd's it is rotated by renaming: PATH.1 is
// the newest of the old ones.
type file struct {
	path string
	o    Options
	f    *os.File
	size int64
	buf  []byte
	ends []int
	// torn: the last write ended within a line.
	torn bool
}

var errNoPath = errors.New("file: needs a path")

func openFile(path string, o Options) (*file, error) {
	if path == "" {
		return nil, errNoPath
	}
	l := &file{path: path, o: o}
	return l, l.open()
}

// open opens the file for appending. It belongs to root alone, and is no device or
// FIFO that could make somebody wait.
func (l *file) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", l.path)
	}
	if err == nil && st.Mode().Perm() != 0o600 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size = f, st.Size()
	l.torn = l.size > 0 && !endsLine(l.path, l.size)
	return nil
}

// endsLine reports whether the last byte of a file is a line end.
func endsLine(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var last [1]byte
	_, err = f.ReadAt(last[:], size-1)
	return err == nil && last[0] == '\n'
}

// reopen opens the file anew, and lets go of the old one only then: records go on to it
// if there is no other.
func (l *file) reopen() error {
	old := l.f
	if err := l.open(); err != nil {
		return err
	}
	if old == nil {
		return nil
	}
	return old.Close()
}

func (l *file) close() error {
	if l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	return f.Close()
}

// write appends a line for each entry. If the disk has no room for all of them, as many
// are written as fit, and the next line begins on its own.
func (l *file) write(batch []trail.Entry) (int, error) {
	if l.f == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	l.buf, l.ends = l.buf[:0], l.ends[:0]
	if l.torn {
		l.buf = append(l.buf, '\n')
	}
	for _, e := range batch {
		l.buf = append(l.line(l.buf, e), '\n')
		l.ends = append(l.ends, len(l.buf))
	}
	n, err := l.f.Write(l.buf)
	l.size += int64(n)
	l.torn = n > 0 && l.buf[n-1] != '\n' || n == 0 && l.torn
	if err != nil {
		return written(l.ends, n), fmt.Errorf("write: %w", err)
	}
	if l.o.FileSize > 0 && l.size >= l.o.FileSize {
		err = l.rotate()
	}
	return len(batch), err
}

// line appends the line of an entry.
func (l *file) line(dst []byte, e trail.Entry) []byte {
	if n := merged(e); n > 0 {
		return api.AppendMerged(dst, l.o.Generation, e.Header, e.Record, n, os.Getpid())
	}
	return l.o.Generation.AppendNumberedAuditLog(dst, e.Header, e.Record)
}

// merged is how many decisions an entry stands for, if it is the count of several.
func merged(e trail.Entry) uint64 {
	if e.Decision == nil {
		return 0
	}
	return e.Decision.Merged
}

// written counts the lines that are whole within n bytes.
func written(ends []int, n int) (lines int) {
	for _, end := range ends {
		if end <= n {
			lines++
		}
	}
	return lines
}

// rotate renames each file to the next number, and drops the last one.
func (l *file) rotate() error {
	if err := l.close(); err != nil {
		return fmt.Errorf("rotate: %w", err)
	}
	for i := l.o.FileCount - 1; i >= 1; i-- {
		if err := os.Rename(l.numbered(i-1), l.numbered(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("rotate: %w", err), l.open())
		}
	}
	if l.o.FileCount <= 1 {
		if err := os.Remove(l.path); err != nil {
			return errors.Join(fmt.Errorf("rotate: %w", err), l.open())
		}
	}
	return l.open()
}

func (l *file) numbered(i int) string {
	if i == 0 {
		return l.path
	}
	return fmt.Sprintf("%s.%d", l.path, i)
}
