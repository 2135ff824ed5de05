package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// measured is a file with its digest, or with the reason why it has none. One of
// another size than it should have is not read, and has neither.
type measured struct {
	path   string
	size   int64
	mode   fs.FileMode
	id     fileID
	digest digest.Digest
	err    error
	want   *listed
}

// measureJob is a file to be measured. With err there is nothing to measure, and
// that is to be told in its turn.
type measureJob struct {
	path string
	err  error
	want *listed // what it should be, which says the algorithm, too; or nil
}

// largeFile is the size from which several processors share a file.
const largeFile = 8 << 20

// measureAll measures files, several at a time, and gives them to each in the order
// of the jobs. It returns the first error of each.
func (a *app) measureAll(ctx context.Context, in place, jobs iter.Seq[measureJob], p fsverity.Params, bar *progress, each func(measured) error) error {
	return inOrder(ctx, jobs, func() func(measureJob) measured {
		m := measurer{in: in, params: p, bar: bar}
		return func(job measureJob) measured {
			if job.err != nil {
				return measured{path: job.path, err: job.err, want: job.want}
			}
			return m.file(ctx, job)
		}
	}, each)
}

// measurer measures files, one after the other.
type measurer struct {
	in     place
	params fsverity.Params
	bar    *progress
	buf    []byte // for small files
	writer *fsverity.Writer
}

// smallFile is the size up to which a file is read as a whole, into memory that the
// next one uses again.
const smallFile = 256 << 10

// file measures one file.
func (w *measurer) file(ctx context.Context, job measureJob) measured {
	m := measured{path: job.path, want: job.want}
	f, err := w.in.handle(job.path)
	if err != nil {
		m.err = err
		return m
	}
	defer f.close()
	if m.size, m.mode, m.id, err = f.stat(); err != nil {
		m.err = fmt.Errorf("stat %s: %w", job.path, err)
		return m
	}
	if !m.mode.IsRegular() {
		m.err = fmt.Errorf("%s: %w", job.path, errNotRegular)
		return m
	}
	if m.want != nil {
		if m.want.Size != m.size {
			return m
		}
		w.use(m.want.digest.Algorithm())
	}
	if m.digest, err = w.open(ctx, f, m.size); err != nil {
		m.err = fmt.Errorf("%s: %w", job.path, err)
	}
	return m
}

// open measures an open file.
func (w *measurer) open(ctx context.Context, f handle, size int64) (digest.Digest, error) {
	if size <= smallFile {
		return w.small(f, int(size))
	}
	return w.large(ctx, f, size)
}

// use changes the algorithm.
func (w *measurer) use(alg string) {
	if w.params.Algorithm != alg {
		w.params.Algorithm, w.writer = alg, nil
	}
}

func (w *measurer) small(f handle, size int) (d digest.Digest, err error) {
	if w.writer == nil {
		w.buf = make([]byte, smallFile)
		if w.writer, err = fsverity.NewWriter(w.params); err != nil {
			return d, err
		}
	}
	if n, err := f.ReadAt(w.buf[:size], 0); n < size {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return d, fmt.Errorf("read %d bytes of %d: %w", n, size, err)
	}
	w.writer.Reset()
	if _, err := w.writer.Write(w.buf[:size]); err != nil {
		return d, err
	}
	w.bar.add(int64(size))
	return w.writer.FileDigest()
}

func (w *measurer) large(ctx context.Context, f handle, size int64) (digest.Digest, error) {
	opts := merkle.Options{Workers: 1, Progress: w.bar.upTo()}
	if size >= largeFile {
		opts.Workers = 0
	}
	return fsverity.FileDigest(ctx, f, size, w.params, opts)
}

var errNotRegular = errors.New("not a regular file")

// report measures files and, in directories, all regular files that keep wants. It
// calls each for those that were measured, and prints an error for the others. In
// the end it returns errSaid if there was one.
func (a *app) report(ctx context.Context, in place, paths []string, keep keeper, p fsverity.Params, each func(measured) error) error {
	bar := a.progress(0)
	defer bar.end()
	return a.printEach(bar, each, func(each func(measured) error) error {
		return a.measureAll(ctx, in, in.files(paths, keep), p, bar, each)
	})
}

// printEach is report with any way to measure; bar may be nil.
func (a *app) printEach(bar *progress, show func(measured) error, measure func(each func(measured) error) error) (err error) {
	defer a.buffer()(&err)
	c := complaints{a: a, bar: bar}
	err = measure(func(m measured) error {
		if m.err == nil {
			bar.aside(a.stdout)
			m.err = show(m)
			var refusal *pathError
			if !errors.As(m.err, &refusal) {
				return m.err
			}
		}
		c.add(m.err)
		return nil
	})
	if err == nil && c.n > 0 {
		return errSaid
	}
	return err
}

// buffer makes many lines one write where nobody waits for each. What it returns
// must be called at the end.
func (a *app) buffer() func(*error) {
	out := a.stdout
	if isTerminal(out) {
		return func(*error) {}
	}
	lines := bufio.NewWriter(out)
	a.stdout = lines
	return func(err *error) {
		a.stdout = out
		if e := lines.Flush(); e != nil && (*err == nil || errors.Is(*err, errSaid)) {
			*err = fmt.Errorf("write result: %w", e)
		}
	}
}
