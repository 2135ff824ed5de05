package dmverity

import (
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// VerifyEdge compares the hash blocks above the last data block with the root hash,
// and wants no digest behind that of the last data block. At the price of one block a
// level it tells a wrong root hash, wrong parameters and a wrong number of data blocks
// from the right ones: the superblock, which has that number, is not covered by the
// root hash. Data of one block is compared itself.
//
// Errors are those of Verify, or a *merkle.SizeError; merkle.Tree.VerifyEdge says what
// cannot be found so.
func (im Image) VerifyEdge(root digest.Digest) error {
	if err := im.verifyEdge(root); err != nil {
		return fmt.Errorf("verify edge of volume: %w", err)
	}
	return nil
}

func (im Image) verifyEdge(root digest.Digest) error {
	tree, err := im.treeOf(root)
	if err != nil {
		return err
	}
	return tree.VerifyEdge(im.Data, shifted{r: im.Hashes, by: im.TreeOffset()}, root.Bytes())
}

// VerifyEdgeFEC is VerifyEdge of a volume with parity, from which it restores, in
// memory, damaged blocks that it meets, as the kernel will.
func (im Image) VerifyEdgeFEC(root digest.Digest) error {
	im.Data, im.Hashes = newPatched(im.Data, im.DataBlockSize), newPatched(im.Hashes, im.HashBlockSize)
	r, err := newRepairer(im, root)
	if err != nil {
		return fmt.Errorf("verify edge of volume: %w", err)
	}
	for {
		err := im.VerifyEdge(root)
		var corrupt *merkle.CorruptError
		if !errors.As(err, &corrupt) {
			return err
		}
		before := len(r.repaired)
		r.repair(corrupt.First)
		switch {
		case r.err != nil:
			return fmt.Errorf("verify edge of volume: %w", r.err)
		case len(r.repaired) == before:
			return fmt.Errorf("%w: %w", r.uncorrectable(), err)
		}
	}
}
