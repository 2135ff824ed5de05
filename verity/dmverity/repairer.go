package dmverity

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// repairer holds what Repair needs.
type repairer struct {
	area         *area
	matrix       *matrix
	tree         *merkle.Tree
	root         []byte
	data, hashes Device
	block        []byte
	repaired     []merkle.BadBlock
	hopeless     hopeless
	err          error
}

// Repair verifies a volume and restores every bad block that parity can restore,
// in place. A block is only written if it then has the digest that it should have.
// Where errors are too many to be found by parity alone, blocks that fail their
// digest are taken as known to be wrong, as the kernel does. It returns the blocks
// that were written, tree before data where one depends on the other. If bad blocks
// remain, the error wraps an *UncorrectableError and a *merkle.CorruptError. Progress
// counts bytes of data, and begins anew when what was restored lets more be judged.
//
// No block is left out that parity could restore. Blocks that share code words are given
// up together, so what is hopeless costs about as much as to verify it again.
//
// Parity itself is not mended: EncodeFEC writes it anew.
func (im Image) Repair(ctx context.Context, root digest.Digest, opts merkle.Options) ([]merkle.BadBlock, error) {
	r, err := newRepairer(im, root)
	if err != nil {
		return nil, fmt.Errorf("repair volume: %w", err)
	}
	for {
		before := len(r.repaired)
		err := im.verify(ctx, root, r.repair, opts)
		var corrupt *merkle.CorruptError
		switch {
		case r.err != nil:
			return r.repaired, fmt.Errorf("repair volume: %w", r.err)
		case err == nil:
			return r.repaired, nil
		case !errors.As(err, &corrupt):
			return r.repaired, fmt.Errorf("repair volume: %w", err)
		case len(r.repaired) == before:
			return r.repaired, fmt.Errorf("repair volume: %w: %w", r.uncorrectable(), err)
		}
	}
}

func newRepairer(im Image, root digest.Digest) (*repairer, error) {
	a, err := newArea(im)
	if err != nil {
		return nil, err
	}
	tree, err := im.treeOf(root)
	if err != nil {
		return nil, err
	}
	return &repairer{
		area: a, matrix: &matrix{area: a, parity: im.Parity}, tree: tree, root: root.Bytes(),
		data: im.Data, hashes: im.Hashes, block: make([]byte, a.block), hopeless: newHopeless(),
	}, nil
}

// repair is told of each bad block while the volume is verified. What cannot be
// restored yet, because the block above is bad as well, is tried again when that
// has been restored.
func (r *repairer) repair(b merkle.BadBlock) {
	if r.err != nil || b.Want == nil {
		return
	}
	offset, device, at := b.Offset, r.data, b.Offset
	if b.Level != merkle.DataLevel {
		offset, device, at = r.area.split+b.Offset, r.hashes, r.area.hashAt+b.Offset
	}
	ok, err := r.restore(offset, b.Want)
	if err != nil || !ok {
		r.err = err
		return
	}
	if _, err := device.WriteAt(r.block, at); err != nil {
		r.err = fmt.Errorf("write block at %d: %w", at, err)
		return
	}
	r.repaired = append(r.repaired, b)
	if b.Level != merkle.DataLevel {
		r.hopeless = newHopeless() // other digests are wanted now
	}
}

// restore finds the block with the digest wanted.
func (r *repairer) restore(offset int64, want []byte) (bool, error) {
	round := r.round(offset)
	if r.hopeless.crowded[round] || r.hopeless.whole[round] {
		return false, nil
	}
	ok, wrong, plain := r.try(offset, want, nil)
	switch {
	case ok || plain != nil && !errors.Is(plain, errUncorrectable):
		return ok, plain
	case plain == nil && wrong == 0: // then it is the digest that is wrong
		r.hopeless.whole[round] = true
		return false, nil
	}
	erased, err := r.erasures(round)
	if err != nil {
		return false, err
	}
	if len(erased) > r.area.Roots { // no block of the round can be restored, if words fail
		r.hopeless.crowded[round] = plain != nil
		return false, nil
	}
	ok, _, err = r.try(offset, want, erased)
	r.hopeless.parity[round] = !ok
	if errors.Is(err, errUncorrectable) {
		err = nil
	}
	return ok, err
}

// try decodes the block, and tells whether it has the digest wanted, and how many bytes were
// wrong in its round.
func (r *repairer) try(offset int64, want []byte, erased []int) (ok bool, wrong int, err error) {
	if wrong, err = r.matrix.restore(offset, r.block, erased); err != nil {
		return false, wrong, err
	}
	return bytes.Equal(r.tree.Sum(r.block), want), wrong, nil
}

// round returns where the first of the blocks is that share code words with the one at an
// offset of the area.
func (r *repairer) round(offset int64) int64 {
	return offset % r.area.words / int64(r.area.block) * int64(r.area.block)
}

// erasures returns the places whose blocks, in a round, do not have the digests that the
// tree has for them: all, or one more than there are roots.
func (r *repairer) erasures(round int64) (places []int, err error) {
	buf := make([]byte, r.area.block)
	for p := range r.area.places() {
		if len(places) > r.area.Roots {
			break
		}
		at := int64(p)*r.area.words + round
		want, err := r.want(at)
		if err != nil {
			return nil, err
		}
		if want == nil {
			continue
		}
		if err := r.area.read(buf, at); err != nil {
			return nil, err
		}
		if !bytes.Equal(r.tree.Sum(buf), want) {
			places = append(places, p)
		}
	}
	return places, nil
}

// want returns the digest that is stored for the block at an offset of the area,
// nil if there is none.
func (r *repairer) want(offset int64) ([]byte, error) {
	level, index, ok := merkle.DataLevel, offset/int64(r.area.block), true
	if offset >= r.area.split {
		level, index, ok = r.tree.Locate(offset - r.area.split)
	}
	if !ok {
		return nil, nil
	}
	slot := r.tree.Slot(level, index)
	if slot < 0 {
		return r.root, nil
	}
	sum := make([]byte, r.tree.DigestSize())
	if err := r.area.read(sum, r.area.split+slot); err != nil {
		return nil, err
	}
	return sum, nil
}
