package merkle

import (
	"context"
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
	var v visit
	if out != nil {
		v = func(level int, index int64, block []byte) ([]byte, error) {
			offset, _ := t.span(level, index)
			if _, err := out.WriteAt(block, offset); err != nil {
				return nil, fmt.Errorf("write hash block at %d: %w", offset, err)
			}
			return block, nil
		}
	}
	root, err := t.root(ctx, src, v, opts)
	if err != nil {
		return nil, fmt.Errorf("build hash tree: %w", err)
	}
	return slices.Clone(root), nil
}
