package merkle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// atSource reads from a place that several may read at once.
type atSource struct{ r io.ReaderAt }

func (s atSource) ordered() bool { return false }

func (s atSource) read(buf []byte, offset int64) error {
	return readFull(s.r, buf, offset)
}

// readFull fills buf. A reader that returns io.EOF with the last bytes is fine.
func readFull(r io.ReaderAt, buf []byte, offset int64) error {
	n, err := r.ReadAt(buf, offset)
	if n == len(buf) {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return ended(err)
}

// ended says in words what an end of the input means here.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file or device ends before: %w", err)
	}
	return err
}

// streamSource reads from front to back.
type streamSource struct{ r io.Reader }

func (s streamSource) ordered() bool { return true }

func (s streamSource) read(buf []byte, _ int64) error {
	_, err := io.ReadFull(s.r, buf)
	return err
}

// Build hashes data and returns the root. The hash blocks are written to out from
// its offset 0 on, in no certain order; out may be nil if only the root is
// wanted. Data must have all bytes that the tree was made for: if it ends before,
// the error wraps io.ErrUnexpectedEOF. When ctx ends, so does Build, with the cause.
//
// Memory does not depend on the size of the data and stays below 16 MiB.
func (t *Tree) Build(ctx context.Context, data io.ReaderAt, out io.WriterAt, opts Options) ([]byte, error) {
	return t.build(ctx, atSource{data}, out, opts)
}

// BuildFrom is Build for data that can only be read from front to back. Bytes
// behind the size of the tree are not read.
func (t *Tree) BuildFrom(ctx context.Context, data io.Reader, out io.WriterAt, opts Options) ([]byte, error) {
	return t.build(ctx, streamSource{data}, out, opts)
}

func (t *Tree) build(ctx context.Context, src source, out io.WriterAt, opts Options) ([]byte, error) {
	if out == nil {
		return t.buildTo(ctx, src, nil, opts)
	}
	lowest := &gatherer{out: out}
	root, err := t.buildTo(ctx, src, func(level int, index int64, block []byte) ([]byte, error) {
		offset, _ := t.span(level, index)
		if level == 0 {
			return block, lowest.write(block, offset)
		}
		return block, writeAt(out, block, offset)
	}, opts)
	if err != nil {
		return nil, err
	}
	if err := lowest.flush(); err != nil {
		return nil, fmt.Errorf("build hash tree: %w", err)
	}
	return root, nil
}

func (t *Tree) buildTo(ctx context.Context, src source, v visit, opts Options) ([]byte, error) {
	root, err := t.root(ctx, src, v, opts)
	if err != nil {
		return nil, fmt.Errorf("build hash tree: %w", err)
	}
	return slices.Clone(root), nil
}

// gatherSize is how much is written at a time of the lowest level, which is nearly
// all of a tree: workers wait while hash blocks are written.
const gatherSize = 64 << 10

// gatherer turns blocks that follow one another into longer writes.
type gatherer struct {
	out io.WriterAt
	buf []byte
	at  int64 // where buf belongs
}

func (g *gatherer) write(block []byte, offset int64) error {
	if offset != g.at+int64(len(g.buf)) || len(g.buf)+len(block) > gatherSize {
		if err := g.flush(); err != nil {
			return err
		}
		g.at = offset
	}
	g.buf = append(g.buf, block...)
	return nil
}

func (g *gatherer) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	err := writeAt(g.out, g.buf, g.at)
	g.buf = g.buf[:0]
	return err
}

func writeAt(out io.WriterAt, blocks []byte, offset int64) error {
	if _, err := out.WriteAt(blocks, offset); err != nil {
		return fmt.Errorf("write hash blocks at %d: %w", offset, err)
	}
	return nil
}
