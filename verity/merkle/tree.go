package merkle

import (
	"fmt"
	"slices"
)

// DataLevel is the level of data blocks, below all levels of the tree.
const DataLevel = -1

// Tree is the geometry of the hash tree over data of a certain size. It holds no
// hashes, and many goroutines may use it at once.
//
// Level 0 are the hash blocks with the digests of data blocks, level 1 those with
// the digests of level 0, and so on up to a level of one block, whose digest is
// the root. Data of one block has no levels: its digest is the root. On disk the
// highest level comes first and level 0 last.
type Tree struct {
	params Params
	shape
	size   int64
	blocks int64
	levels []level
}

// level is where a level lies, in hash blocks from the start of the tree.
type level struct{ first, blocks int64 }

// New returns the tree over size bytes of data, at least one. A last block that
// is not full counts as filled up with zeros. Errors wrap ErrAlgorithm or
// ErrParams.
func New(p Params, size int64) (*Tree, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("hash tree: %w", err)
	}
	if size <= 0 {
		return nil, fmt.Errorf("hash tree: %w: %d bytes of data", ErrParams, size)
	}
	p.Salt = slices.Clone(p.Salt)
	t := &Tree{params: p, shape: p.shape(), size: size, blocks: (size-1)/int64(p.DataBlockSize) + 1}
	for n := t.blocks; n > 1; {
		n = (n-1)>>t.shift + 1
		t.levels = append(t.levels, level{blocks: n})
	}
	at := int64(0)
	for i := range slices.Backward(t.levels) {
		t.levels[i].first = at
		at += t.levels[i].blocks
	}
	return t, nil
}

// Params returns what the tree was made from.
func (t *Tree) Params() Params {
	p := t.params
	p.Salt = slices.Clone(p.Salt)
	return p
}

// DataSize returns the bytes of data, DataBlocks the number of data blocks.
func (t *Tree) DataSize() int64 { return t.size }

// DataBlocks returns the number of data blocks.
func (t *Tree) DataBlocks() int64 { return t.blocks }

// DigestSize returns the bytes of the root and of every other digest.
func (t *Tree) DigestSize() int { return t.digest }

// Levels returns the number of levels of hash blocks.
func (t *Tree) Levels() int { return len(t.levels) }

// Blocks returns the number of hash blocks of all levels.
func (t *Tree) Blocks() (n int64) {
	for _, l := range t.levels {
		n += l.blocks
	}
	return n
}

// Size returns the bytes of all hash blocks. It is less than the data's, or one
// block a level.
func (t *Tree) Size() int64 { return t.Blocks() * int64(t.params.HashBlockSize) }

// Level returns the number of blocks of a level, and the offset in bytes of its
// first from the start of the tree. For DataLevel it is the data's.
func (t *Tree) Level(n int) (offset, blocks int64) {
	if n == DataLevel {
		return 0, t.blocks
	}
	return t.levels[n].first * int64(t.params.HashBlockSize), t.levels[n].blocks
}

// span returns where a block lies: in the data, or in the tree.
func (t *Tree) span(n int, index int64) (offset, length int64) {
	if n == DataLevel {
		offset = index * int64(t.params.DataBlockSize)
		return offset, min(int64(t.params.DataBlockSize), t.size-offset)
	}
	length = int64(t.params.HashBlockSize)
	return (t.levels[n].first + index) * length, length
}

// Slot returns where in the tree the digest of a block lies, in bytes from the
// tree's start; -1 for the one block whose digest is the root.
func (t *Tree) Slot(n int, index int64) int64 {
	if n+1 == len(t.levels) {
		return -1
	}
	offset, _ := t.span(n+1, index>>t.shift)
	return offset + (index&int64(t.fanout()-1))*int64(t.stride)
}

// Locate returns which hash block has the byte at an offset of the tree; ok is
// false outside the tree.
func (t *Tree) Locate(offset int64) (n int, index int64, ok bool) {
	block := offset / int64(t.params.HashBlockSize)
	for n, l := range t.levels {
		if offset >= 0 && block >= l.first && block < l.first+l.blocks {
			return n, block - l.first, true
		}
	}
	return 0, 0, false
}

// Sum returns the salted digest of one block, of data or of digests.
func (t *Tree) Sum(block []byte) []byte { return newHasher(t.params, 0).sum(nil, block) }
