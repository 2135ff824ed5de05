// Package measure finds the fs-verity digests of files: it hashes them, or asks the kernel
// that has. It makes entries of manifests of what it found, says in what files differ from
// such entries, and writes what lies behind a digest.
package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Result is a file with its digest, or with the reason why it has none. One of
// another size than it should have is not read, and has neither.
type Result struct {
	Path   string
	Size   int64
	Mode   fs.FileMode
	ID     walk.FileID
	Digest digest.Digest
	Err    error
	Want   *manifest.Entry
	Op     policy.Op // if it was asked for
}

// Job is a file to be Result.
type Job struct {
	walk.File
	Want *manifest.Entry // what it should be, which says the algorithm, too; or nil
}

// largeFile is the size from which several processors share a file.
const largeFile = 8 << 20

// All measures files, several at a time, each with a copy of the Measurer, and
// gives them to each in the order of the jobs. It returns the first error of each.
func All(ctx context.Context, like Measurer, jobs iter.Seq[Job], each func(Result) error) error {
	return inorder.Do(ctx, jobs, func() func(Job) Result {
		m := like
		return func(job Job) Result {
			defer job.Done()
			return m.File(ctx, job)
		}
	}, func(m Result) error {
		if errors.Is(m.Err, walk.ErrNotAsked) {
			return nil
		}
		return each(m)
	})
}

// Progress is told how many bytes are done.
type Progress interface {
	Add(n int64)
	// UpTo is Add for those who are told how much is done.
	UpTo() func(done int64)
}

// Measurer measures files, one after the other.
type Measurer struct {
	Params   fsverity.Params
	Progress Progress
	// Kernel says whether a digest that the kernel has is taken without reading the file.
	Kernel Kernel
	// Operations says whether to find out which operation judges a file.
	Operations bool

	buf    []byte // for small files
	writer *fsverity.Writer
}

// Kernel says which digests are taken that the kernel has of files with fs-verity.
type Kernel uint8

// What the kernel is asked for.
const (
	IgnoreKernel Kernel = iota
	AskSame             // takes those that were made with the same parameters
	AskAny              // takes all: no other will ever be that of the file
)

// ask returns the kernel's digest of an open file, if there is one to be taken.
func (w *Measurer) ask(fd int) (d digest.Digest, ok bool) {
	switch w.Kernel {
	case AskAny:
		return fsioctl.Ask(uintptr(fd))
	case AskSame:
		return fsioctl.AskWith(uintptr(fd), w.Params)
	}
	return d, false
}

// smallFile is the size up to which a file is read as a whole, into memory that the
// next one uses again.
const smallFile = 256 << 10

// File measures one file.
func (w *Measurer) File(ctx context.Context, job Job) Result {
	m := Result{Path: job.Path, Want: job.Want}
	f, err := job.Open()
	if err != nil {
		m.Err = err
		return m
	}
	defer f.Close()
	m.Size, m.Mode, m.ID = f.Size, f.Mode, f.ID
	if m.Want != nil {
		if m.Want.Size != m.Size {
			return m
		}
		w.use(m.Want.Digest.Algorithm())
	}
	if w.Operations {
		m.Op = walk.OperationOf(job.At(), f)
	}
	if m.Digest, err = w.Open(ctx, f); err != nil {
		m.Err = fmt.Errorf("%s: %w", plain.Name(job.Path), err)
	}
	return m
}

// Open measures an open file.
func (w *Measurer) Open(ctx context.Context, f *walk.Handle) (digest.Digest, error) {
	if d, ok := w.ask(f.FD()); ok {
		return d, nil
	}
	if f.Size <= smallFile {
		return w.small(f, int(f.Size))
	}
	return w.large(ctx, f)
}

// use changes the algorithm.
func (w *Measurer) use(alg string) {
	if w.Params.Algorithm != alg {
		w.Params.Algorithm, w.writer = alg, nil
	}
}

func (w *Measurer) small(f *walk.Handle, size int) (d digest.Digest, err error) {
	if w.writer == nil {
		w.buf = make([]byte, smallFile)
		if w.writer, err = fsverity.NewWriter(w.Params); err != nil {
			return d, err
		}
	}
	if n, err := f.ReadAt(w.buf[:size], 0); n < size {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the file ends before, somebody has cut it meanwhile: %w", io.ErrUnexpectedEOF)
		}
		return d, fmt.Errorf("read %d bytes of %d: %w", n, size, err)
	}
	w.writer.Reset()
	if _, err := w.writer.Write(w.buf[:size]); err != nil {
		return d, err
	}
	w.Progress.Add(int64(size))
	return w.writer.FileDigest()
}

func (w *Measurer) large(ctx context.Context, f *walk.Handle) (digest.Digest, error) {
	opts := merkle.Options{Workers: 1, Progress: w.Progress.UpTo()}
	if f.Size >= largeFile {
		opts.Workers = 0
	}
	return fsverity.FileDigest(ctx, f, f.Size, w.Params, opts)
}

// Found are files that were found, to be Result.
func Found(files iter.Seq[walk.File]) iter.Seq[Job] {
	return func(yield func(Job) bool) {
		for f := range files {
			if !yield(Job{File: f}) {
				return
			}
		}
	}
}

// Entries are the files that a manifest names, to be measured as it says.
func Entries(in walk.Place, want []manifest.Entry) iter.Seq[Job] {
	return func(yield func(Job) bool) {
		for i := range want {
			if !yield(Job{File: in.Named(want[i].Path), Want: &want[i]}) {
				return
			}
		}
	}
}
