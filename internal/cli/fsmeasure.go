package cli

import (
	"context"
	"errors"
	"fmt"
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
func (a *app) measureAll(ctx context.Context, paths []string, keep func(string, fs.FileInfo) (bool, error), p fsverity.Params, each func(measured) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan measureTask)
	order := make(chan chan measured, 8*workers) // this many may wait for a slow one
	bar := a.progress(0)
	defer bar.end()
	for range workers {
		go func() {
			for t := range todo {
				t.to <- measureFile(ctx, t.path, p, bar)
			}
		}()
	}
	go func() {
		defer close(order)
		defer close(todo)
		for _, path := range paths {
			walkFiles(ctx, path, keep, order, todo)
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

// walkFiles hands out the files at or below a path.
func walkFiles(ctx context.Context, root string, keep func(string, fs.FileInfo) (bool, error), order chan<- chan measured, todo chan<- measureTask) {
	put := func(path string, err error) bool {
		t := measureTask{path, make(chan measured, 1)}
		select {
		case order <- t.to:
		case <-ctx.Done():
			return false
		}
		if err != nil {
			t.to <- measured{path: path, err: err}
			return true
		}
		select {
		case todo <- t:
		case <-ctx.Done():
			return false
		}
		return true
	}
	st, err := os.Stat(root)
	if err != nil || !st.IsDir() {
		put(root, err)
		return
	}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		wanted := err == nil && d.Type().IsRegular()
		if wanted {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				wanted, err = keep(path, info)
			}
		}
		if (wanted || err != nil) && !put(path, err) {
			return fs.SkipAll
		}
		return nil
	})
}

// measureFile measures one file.
func measureFile(ctx context.Context, path string, p fsverity.Params, bar *progress) measured {
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
	opts := merkle.Options{Workers: 1, Progress: bar.upTo()}
	if m.size >= largeFile {
		opts.Workers = 0
	}
	if m.digest, err = fsverity.FileDigest(ctx, f, m.size, p, opts); err != nil {
		m.err = fmt.Errorf("%s: %w", path, err)
	}
	return m
}

var errNotRegular = errors.New("not a regular file")

// everyFile keeps all files.
func everyFile(string, fs.FileInfo) (bool, error) { return true, nil }

// executables keeps what has an executable bit, or begins as ELF files do:
// programs, libraries and kernel modules.
func executables(path string, info fs.FileInfo) (bool, error) {
	if info.Mode()&0o111 != 0 {
		return true, nil
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
func (a *app) report(ctx context.Context, paths []string, keep func(string, fs.FileInfo) (bool, error), p fsverity.Params, each func(measured) error) error {
	failed := false
	err := a.measureAll(ctx, paths, keep, p, func(m measured) error {
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
