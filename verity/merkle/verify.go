package merkle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
)

// BadBlock is a block that is not what its digest says.
type BadBlock struct {
	// Level is DataLevel, or the level of a hash block.
	Level int
	// Index counts the blocks of the level from 0.
	Index int64
	// Offset and Length are the bytes of the block, in the data or in the tree.
	Offset, Length int64
	// First and Count are the data blocks that cannot be trusted because of it: the
	// block itself, or all those below a hash block.
	First, Count int64
	// Want is the digest that the block should have, by the block above it, which
	// may be bad as well. It is nil if the block has that digest and is bad
	// because space without digests in it is not zero.
	Want []byte
}

// String returns "data block 3 (bytes 12288 to 16383)", or "hash block 0 of level
// 1 (bytes 0 to 4095 of the tree)".
func (b BadBlock) String() string {
	if b.Level == DataLevel {
		return fmt.Sprintf("data block %d (bytes %d to %d)", b.Index, b.Offset, b.Offset+b.Length-1)
	}
	return fmt.Sprintf("hash block %d of level %d (bytes %d to %d of the tree)", b.Index, b.Level, b.Offset, b.Offset+b.Length-1)
}

// CorruptError says that data, tree and root do not belong together.
type CorruptError struct {
	// First is the first bad block that was found, and Count how many there are.
	First BadBlock
	Count int64
}

func (e *CorruptError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("%v is corrupt", e.First)
	}
	return fmt.Sprintf("%d blocks are corrupt, the first is %v", e.Count, e.First)
}

// bad describes a block.
func (t *Tree) bad(level int, index int64, want []byte) BadBlock {
	b := BadBlock{Level: level, Index: index, First: index, Count: 1, Want: slices.Clone(want)}
	b.Offset, b.Length = t.span(level, index)
	for range level - DataLevel {
		b.First <<= t.shift
		b.Count <<= t.shift
	}
	b.Count = min(b.Count, t.blocks-b.First)
	return b
}

// verifier compares a tree as it is stored with the one that the data has.
type verifier struct {
	tree   *Tree
	stored io.ReaderAt
	block  []byte // as stored
	report func(BadBlock)
	result *CorruptError
}

func (v *verifier) found(b BadBlock) {
	if v.result == nil {
		v.result = &CorruptError{First: b}
	}
	v.result.Count++
	if v.report != nil {
		v.report(b)
	}
}

// visit compares a hash block with what is stored in its place, and lets the
// latter go up: whether that is authentic is decided above.
func (v *verifier) visit(level int, index int64, block []byte) ([]byte, error) {
	offset, _ := v.tree.span(level, index)
	if err := readFull(v.stored, v.block, offset); err != nil {
		return nil, fmt.Errorf("read hash block at %d: %w", offset, err)
	}
	if !bytes.Equal(block, v.block) {
		v.compare(level, index, block)
	}
	return v.block, nil
}

// compare names the blocks below whose digests differ, or this one if there is
// something between or behind the digests.
func (v *verifier) compare(level int, index int64, block []byte) {
	t := v.tree
	_, below := t.Level(level - 1)
	first := index << t.shift
	stored := slices.Clone(v.block)
	for i := range int(min(int64(t.fanout()), below-first)) {
		got, want := block[i*t.stride:][:t.digest], stored[i*t.stride:][:t.digest]
		if !bytes.Equal(got, want) {
			v.found(t.bad(level-1, first+int64(i), want))
		}
		clear(want)
	}
	if len(bytes.Trim(stored, "\x00")) > 0 {
		v.found(t.bad(level, index, nil))
	}
}

// Verify compares data with the tree stored in hashes and the tree with the root.
// Every bad block is given to report, if it is not nil, from one goroutine at a
// time: data in ascending order, and a hash block after those below it. If there was any, the
// error is a *CorruptError in the chain.
//
// A hash block is bad if its digest is not the one that the block above has, and
// then nothing below it can be trusted. Blocks below it are still compared with
// what it says.
func (t *Tree) Verify(ctx context.Context, data, hashes io.ReaderAt, root []byte, report func(BadBlock), opts Options) error {
	v := &verifier{tree: t, stored: hashes, block: make([]byte, t.params.HashBlockSize), report: report}
	got, err := t.root(ctx, atSource{data}, v.visit, opts)
	if err != nil {
		return fmt.Errorf("verify hash tree: %w", err)
	}
	if !bytes.Equal(got, root) {
		v.found(t.bad(len(t.levels)-1, 0, root))
	}
	if v.result != nil {
		return fmt.Errorf("verify hash tree: %w", v.result)
	}
	return nil
}

// VerifyBlock checks one data block and the hash blocks above it, from the root
// down as the kernel does. The first that is bad ends it, with a *CorruptError in
// the chain.
func (t *Tree) VerifyBlock(data, hashes io.ReaderAt, root []byte, index int64) error {
	if err := t.verifyBlock(data, hashes, root, index); err != nil {
		return fmt.Errorf("verify data block %d: %w", index, err)
	}
	return nil
}

func (t *Tree) verifyBlock(data, hashes io.ReaderAt, root []byte, index int64) error {
	if index < 0 || index >= t.blocks {
		return fmt.Errorf("%w: there are %d", ErrParams, t.blocks)
	}
	h := newHasher(t.params, 0)
	buf := make([]byte, max(t.params.DataBlockSize, t.params.HashBlockSize))
	want := slices.Clone(root)
	for level := len(t.levels) - 1; level >= DataLevel; level-- {
		from, size, at := hashes, t.params.HashBlockSize, index>>(t.shift*(level+1))
		if level == DataLevel {
			from, size = data, t.params.DataBlockSize
		}
		offset, length := t.span(level, at)
		if err := readFull(from, buf[:length], offset); err != nil {
			return fmt.Errorf("read %d bytes at %d: %w", length, offset, err)
		}
		clear(buf[length:size])
		if !bytes.Equal(h.sum(nil, buf[:size]), want) {
			return &CorruptError{First: t.bad(level, at, want), Count: 1}
		}
		if level > DataLevel {
			slot := int(index >> (t.shift * level) & int64(t.fanout()-1))
			want = append(want[:0], buf[slot*t.stride:][:t.digest]...)
		}
	}
	return nil
}
