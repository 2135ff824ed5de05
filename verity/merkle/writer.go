package merkle

import (
	"fmt"
	"slices"
)

// Writer computes the root of what is written to it, on the goroutine that
// writes. The size need not be known before.
type Writer struct {
	hasher *hasher
	stack  *stack
	block  []byte // begun, not full
	sum    []byte
	size   int64
}

// NewWriter returns a Writer. Errors wrap ErrAlgorithm or ErrParams.
func NewWriter(p Params) (*Writer, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("hash tree: %w", err)
	}
	p.Salt = slices.Clone(p.Salt)
	return &Writer{
		hasher: newHasher(p, p.DataBlockSize),
		stack:  newStack(p, nil),
		block:  make([]byte, 0, p.DataBlockSize),
	}, nil
}

// Write takes the next bytes. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	n, size := len(p), cap(w.block)
	w.size += int64(n)
	if len(w.block) > 0 {
		k := min(size-len(w.block), len(p))
		w.block, p = append(w.block, p[:k]...), p[k:]
		if len(w.block) < size {
			return n, nil
		}
		w.add(w.block)
		w.block = w.block[:0]
	}
	for ; len(p) >= size; p = p[size:] {
		w.add(p[:size])
	}
	w.block = append(w.block, p...)
	return n, nil
}

func (w *Writer) add(block []byte) {
	w.sum = w.hasher.sumSparse(w.sum[:0], block)
	_ = w.stack.add(0, w.sum) // fails only if a visit does, and there is none
}

// Reset forgets what was written, for other data with the same parameters.
func (w *Writer) Reset() {
	w.block = w.block[:0]
	w.size = 0
	w.stack.reset()
}

// Root ends the data, filling up the last block with zeros, and returns the root
// and the number of bytes that were written; the root is nil if there were none.
// Nothing may be written after it, but after Reset.
func (w *Writer) Root() (root []byte, size int64) {
	if len(w.block) > 0 {
		block := w.block[:cap(w.block)]
		clear(block[len(w.block):])
		w.add(block)
		w.block = w.block[:0]
	}
	root, _ = w.stack.root() // as in add
	return slices.Clone(root), w.size
}
