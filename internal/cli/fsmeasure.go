package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// measured is a file with its digest, or with the reason why it has none.
type measured struct {
	path   string
	size   int64
	mode   fs.FileMode
	digest digest.Digest
	err    error
}

// largeFile is the size from which several processors share a file.
const largeFile = 8 << 20

// measureTask is a file that is waiting for its turn, and where the result goes.
type measureTask struct {
	path string
	to   chan measured
}

// measureAll measures files and, in directories, all regular files that keep
// wants, several at a time. It gives them to each in the order of the arguments,
// within a directory by name, and returns the first error of each. Symbolic links
// are followed among the arguments, not in directories.
func (a *app) measureAll(ctx context.Context, paths []string, keep keeper, p fsverity.Params, each func(measured) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan measureTask)
	order := make(chan chan measured, 8*workers) // this many may wait for a slow one
	bar := a.progress(0)
	defer bar.end()
	for range workers {
		go func() {
			m := measurer{params: p, bar: bar}
			for t := range todo {
				t.to <- m.file(ctx, t.path)
			}
		}()
	}
	go func() {
		defer close(order)
		defer close(todo)
		for _, path := range paths {
			walkFiles(path, keep, func(path string, err error) bool {
				return handOut(ctx, measureTask{path, make(chan measured, 1)}, err, order, todo)
			})
		}
	}()
	for to := range order {
		select {
		case m := <-to:
			if err := each(m); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// handOut gives a file to whoever has time, unless there is an error to be told in
// its place. It returns false when nobody wants more.
func handOut(ctx context.Context, t measureTask, err error, order chan<- chan measured, todo chan<- measureTask) bool {
	select {
	case order <- t.to:
	case <-ctx.Done():
		return false
	}
	if err != nil {
		t.to <- measured{path: t.path, err: err}
		return true
	}
	select {
	case todo <- t:
		return true
	case <-ctx.Done():
		return false
	}
}

// walkFiles calls do for a file, or for all regular files in a directory that keep
// wants, until do returns false.
func walkFiles(root string, keep keeper, do func(string, error) bool) {
	st, err := os.Stat(root)
	if err != nil || !st.IsDir() {
		do(root, err)
		return
	}
	// With the slash, a symbolic link is followed here, and only here.
	_ = filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		wanted := err == nil && d.Type().IsRegular()
		if wanted && keep != nil {
			wanted, err = keep(path, d)
		}
		if (wanted || err != nil) && !do(path, err) {
			return fs.SkipAll
		}
		return nil
	})
}

// measurer measures files, one after the other.
type measurer struct {
	params fsverity.Params
	bar    *progress
	buf    []byte // for small files
	writer *fsverity.Writer
}

// smallFile is the size up to which a file is read as a whole, into memory that the
// next one uses again.
const smallFile = 256 << 10

// file measures one file.
func (w *measurer) file(ctx context.Context, path string) measured {
	m := measured{path: path}
	f, err := os.Open(path)
	if err != nil {
		m.err = err
		return m
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		m.err = err
		return m
	}
	if !st.Mode().IsRegular() {
		m.err = fmt.Errorf("%s: %w", path, errNotRegular)
		return m
	}
	m.size, m.mode = st.Size(), st.Mode()
	if m.size <= smallFile {
		m.digest, err = w.small(f, int(m.size))
	} else {
		m.digest, err = w.large(ctx, f, m.size)
	}
	if err != nil {
		m.err = fmt.Errorf("%s: %w", path, err)
	}
	return m
}

func (w *measurer) small(f *os.File, size int) (d digest.Digest, err error) {
	if w.writer == nil {
		w.buf = make([]byte, smallFile)
		if w.writer, err = fsverity.NewWriter(w.params); err != nil {
			return d, err
		}
	}
	if n, err := io.ReadFull(f, w.buf[:size]); n < size {
		return d, fmt.Errorf("read %d bytes of %d: %w", n, size, err)
	}
	w.writer.Reset()
	if _, err := w.writer.Write(w.buf[:size]); err != nil {
		return d, err
	}
	w.bar.add(int64(size))
	return w.writer.FileDigest()
}

func (w *measurer) large(ctx context.Context, f *os.File, size int64) (digest.Digest, error) {
	opts := merkle.Options{Workers: 1, Progress: w.bar.upTo()}
	if size >= largeFile {
		opts.Workers = 0
	}
	return fsverity.FileDigest(ctx, f, size, w.params, opts)
}

var errNotRegular = errors.New("not a regular file")

// keeper says whether a file in a directory is wanted; a nil one wants all.
type keeper func(path string, d fs.DirEntry) (bool, error)

// executables keeps what has an executable bit, or begins as ELF files do:
// programs, libraries and kernel modules.
func executables(path string, d fs.DirEntry) (bool, error) {
	info, err := d.Info()
	if err != nil || info.Mode()&0o111 != 0 {
		return err == nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var magic [4]byte
	n, _ := f.ReadAt(magic[:], 0)
	return string(magic[:n]) == "\x7fELF", nil
}

// report calls each for files that were measured, and prints an error for the
// others. In the end it returns errSaid if there was one.
func (a *app) report(ctx context.Context, paths []string, keep keeper, p fsverity.Params, each func(measured) error) (err error) {
	out := a.stdout
	if !isTerminal(out) { // where nobody waits for each line
		lines := bufio.NewWriter(out)
		a.stdout = lines
		defer func() {
			a.stdout = out
			if e := lines.Flush(); e != nil && (err == nil || errors.Is(err, errSaid)) {
				err = fmt.Errorf("write result: %w", e)
			}
		}()
	}
	failed := false
	err = a.measureAll(ctx, paths, keep, p, func(m measured) error {
		if m.err == nil {
			return each(m)
		}
		failed = true
		fmt.Fprintf(a.stderr, "ipe: %s %s\n", a.paint(a.stderr, red, "error:"), oneLine(m.err.Error()))
		return nil
	})
	if err == nil && failed {
		return errSaid
	}
	return err
}
