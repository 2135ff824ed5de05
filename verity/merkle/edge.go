package merkle

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// SizeError says that a tree is of another number of data blocks than it was taken
// for.
type SizeError struct {
	// Blocks is how many data blocks the tree was taken to be of.
	Blocks int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("the hash tree is not one of %d data blocks", e.Blocks)
}

// VerifyEdge checks the right edge of the tree, from the root down: the hash blocks
// above the last data block have the digests that they should have, each has a digest
// in its last place and nothing but zeros behind it. Data of one block is checked
// itself. The price is one block a level.
//
// The root covers how many data blocks there are by those zeros alone, and nothing
// that reads through the tree looks at them. Data that is shortened is thus found
// here. Two things are not, unless a digest happens to be in the way: hash blocks that
// are passed off as the data, and data that was made to look like hash blocks; they
// change the number of levels, and block for block they have the digests they should.
//
// Errors are a *CorruptError or a *SizeError, or those of the reader.
func (t *Tree) VerifyEdge(data, hashes io.ReaderAt, root []byte) error {
	if err := t.verifyEdge(data, hashes, root); err != nil {
		return fmt.Errorf("verify edge of hash tree: %w", err)
	}
	return nil
}

func (t *Tree) verifyEdge(data, hashes io.ReaderAt, root []byte) error {
	if len(t.levels) == 0 {
		return t.verifyBlock(data, hashes, root, 0)
	}
	h := newHasher(t.params, 0)
	block := make([]byte, t.params.HashBlockSize)
	want := slices.Clone(root)
	for level := len(t.levels) - 1; level > DataLevel; level-- {
		last := t.levels[level].blocks - 1
		offset, _ := t.span(level, last)
		if err := readFull(hashes, block, offset); err != nil {
			return fmt.Errorf("read hash block at %d: %w", offset, err)
		}
		if !bytes.Equal(h.sum(nil, block), want) {
			return &CorruptError{First: t.bad(level, last, want), Count: 1}
		}
		digest, behind := t.lastDigest(level, block)
		if zero(digest) || !zero(behind) {
			return &SizeError{Blocks: t.blocks}
		}
		want = append(want[:0], digest...)
	}
	return nil
}

// lastDigest returns the last digest of the last hash block of a level, and what
// follows it.
func (t *Tree) lastDigest(level int, block []byte) (digest, behind []byte) {
	_, below := t.Level(level - 1)
	slot := int((below - 1) & int64(t.fanout()-1))
	at := block[slot*t.stride:]
	return at[:t.digest], at[t.digest:]
}

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
