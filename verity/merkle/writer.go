package merkle

import (
	"fmt"
	"slices"
)

// Writer computes the root of what is written to it, on the goroutine that
// writes. The size need not be known before.
type Writer struct {
	hasher    *hasher
	stack     *stack
	blockSize int
	begun     []byte // less than two blocks, which are hashed together
	sums      []byte
	size      int64
}

// NewWriter returns a Writer. Errors wrap ErrAlgorithm or ErrParams.
func NewWriter(p Params) (*Writer, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("hash tree: %w", err)
	}
	p.Salt = slices.Clone(p.Salt)
	return &Writer{
		hasher:    newHasher(p, p.DataBlockSize),
		stack:     newStack(p, nil),
		blockSize: p.DataBlockSize,
		begun:     make([]byte, 0, 2*p.DataBlockSize),
	}, nil
}

// Write takes the next bytes. It never fails.
func (w *Writer) Write(p []byte) (int, error) {
	n, two := len(p), cap(w.begun)
	w.size += int64(n)
	if len(w.begun) > 0 {
		k := min(two-len(w.begun), len(p))
		w.begun, p = append(w.begun, p[:k]...), p[k:]
		if len(w.begun) < two {
			return n, nil
		}
		w.add(w.begun)
		w.begun = w.begun[:0]
	}
	even := len(p) / two * two
	for piece := range slices.Chunk(p[:even], max(pieceSize, two)) { // whole blocks, whatever their size
		w.add(piece)
	}
	w.begun = append(w.begun, p[even:]...)
	return n, nil
}

// add takes whole blocks.
func (w *Writer) add(blocks []byte) {
	w.sums = w.hasher.sums(w.sums[:0], blocks)
	for sum := range slices.Chunk(w.sums, w.stack.digest) {
		_ = w.stack.add(0, sum) // fails only if a visit does, and there is none
	}
}

// Reset forgets what was written, for other data with the same parameters.
func (w *Writer) Reset() {
	w.begun = w.begun[:0]
	w.size = 0
	w.stack.reset()
}

// Root ends the data, filling up the last block with zeros, and returns the root
// and the number of bytes that were written; the root is nil if there were none.
// Nothing may be written after it, but after Reset.
func (w *Writer) Root() (root []byte, size int64) {
	end := (len(w.begun) + w.blockSize - 1) / w.blockSize * w.blockSize
	last := w.begun[:end]
	clear(last[len(w.begun):])
	w.add(last)
	w.begun = w.begun[:0]
	root, _ = w.stack.root() // as in add
	return slices.Clone(root), w.size
}
