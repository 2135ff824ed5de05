package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// measured is a file with its digest, or with the reason why it has none. One of
// another size than it should have is not read, and has neither.
type measured struct {
	path   string
	size   int64
	mode   fs.FileMode
	id     walk.FileID
	digest digest.Digest
	err    error
	want   *manifest.Entry
	op     policy.Op // if it was asked for
}

// measureJob is a file to be measured.
type measureJob struct {
	walk.File
	want *manifest.Entry // what it should be, which says the algorithm, too; or nil
}

// largeFile is the size from which several processors share a file.
const largeFile = 8 << 20

// measureAll measures files, several at a time, each with a copy of the measurer, and
// gives them to each in the order of the jobs. It returns the first error of each.
func (a *app) measureAll(ctx context.Context, like measurer, jobs iter.Seq[measureJob], each func(measured) error) error {
	return inorder.Do(ctx, jobs, func() func(measureJob) measured {
		m := like
		return func(job measureJob) measured {
			defer job.Done()
			return m.file(ctx, job)
		}
	}, func(m measured) error {
		if errors.Is(m.err, walk.ErrNotAsked) {
			return nil
		}
		return each(m)
	})
}

// measurer measures files, one after the other.
type measurer struct {
	params fsverity.Params
	bar    *ui.Progress
	// kernel says whether a digest that the kernel has is taken without reading the file.
	kernel kernelDigests
	// operations says whether to find out which operation judges a file.
	operations bool

	buf    []byte // for small files
	writer *fsverity.Writer
}

// kernelDigests are those that the kernel has of files with fs-verity.
type kernelDigests uint8

const (
	ignoreKernel kernelDigests = iota
	askSame                    // takes those that were made with the same parameters
	askAny                     // takes all: no other will ever be that of the file
)

// ask returns the kernel's digest of an open file, if there is one to be taken.
func (w *measurer) ask(fd int) (d digest.Digest, ok bool) {
	switch w.kernel {
	case askAny:
		return fsioctl.Ask(uintptr(fd))
	case askSame:
		return fsioctl.AskWith(uintptr(fd), w.params)
	}
	return d, false
}

// smallFile is the size up to which a file is read as a whole, into memory that the
// next one uses again.
const smallFile = 256 << 10

// file measures one file.
func (w *measurer) file(ctx context.Context, job measureJob) measured {
	m := measured{path: job.Path, want: job.want}
	f, err := job.Open()
	if err != nil {
		m.err = err
		return m
	}
	defer f.Close()
	m.size, m.mode, m.id = f.Size, f.Mode, f.ID
	if m.want != nil {
		if m.want.Size != m.size {
			return m
		}
		w.use(m.want.Digest.Algorithm())
	}
	if w.operations {
		m.op = walk.OperationOf(job.At(), f)
	}
	if m.digest, err = w.open(ctx, f); err != nil {
		m.err = fmt.Errorf("%s: %w", plain.Name(job.Path), err)
	}
	return m
}

// open measures an open file.
func (w *measurer) open(ctx context.Context, f *walk.Handle) (digest.Digest, error) {
	if d, ok := w.ask(f.FD()); ok {
		return d, nil
	}
	if f.Size <= smallFile {
		return w.small(f, int(f.Size))
	}
	return w.large(ctx, f)
}

// use changes the algorithm.
func (w *measurer) use(alg string) {
	if w.params.Algorithm != alg {
		w.params.Algorithm, w.writer = alg, nil
	}
}

func (w *measurer) small(f *walk.Handle, size int) (d digest.Digest, err error) {
	if w.writer == nil {
		w.buf = make([]byte, smallFile)
		if w.writer, err = fsverity.NewWriter(w.params); err != nil {
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
	w.bar.Add(int64(size))
	return w.writer.FileDigest()
}

func (w *measurer) large(ctx context.Context, f *walk.Handle) (digest.Digest, error) {
	opts := merkle.Options{Workers: 1, Progress: w.bar.UpTo()}
	if f.Size >= largeFile {
		opts.Workers = 0
	}
	return fsverity.FileDigest(ctx, f, f.Size, w.params, opts)
}

// report measures the files of a tree. It calls each for those that were measured, and
// prints an error for the others. In the end it returns ui.ErrSaid if there was one.
func (a *app) report(ctx context.Context, like measurer, t walk.Tree, each func(measured) error) error {
	like.bar = a.Progress(0)
	defer like.bar.End()
	return a.printEach(like.bar, each, func(each func(measured) error) error {
		return a.measureAll(ctx, like, found(t.Files), each)
	})
}

// found are files that were found, to be measured.
func found(files iter.Seq[walk.File]) iter.Seq[measureJob] {
	return func(yield func(measureJob) bool) {
		for f := range files {
			if !yield(measureJob{File: f}) {
				return
			}
		}
	}
}

// printEach is report with any way to measure; bar may be nil.
func (a *app) printEach(bar *ui.Progress, show func(measured) error, measure func(each func(measured) error) error) (err error) {
	defer a.Buffer()(&err)
	c := a.Complaints(bar)
	err = measure(func(m measured) error {
		if m.err == nil {
			bar.MakeWay()
			m.err = show(m)
			var refusal *manifest.PathError
			if !errors.As(m.err, &refusal) {
				return m.err
			}
		}
		c.Add(m.err)
		return nil
	})
	if err == nil && c.N > 0 {
		return ui.ErrSaid
	}
	return err
}
