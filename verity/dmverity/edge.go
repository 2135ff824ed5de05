package dmverity

import (
	"errors"
	"fmt"
	"io"

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
func VerifyEdge(data, hashes io.ReaderAt, v Volume, root digest.Digest) error {
	if err := verifyEdge(data, hashes, v, root); err != nil {
		return fmt.Errorf("verify edge of volume: %w", err)
	}
	return nil
}

func verifyEdge(data, hashes io.ReaderAt, v Volume, root digest.Digest) error {
	if err := v.check(); err != nil {
		return err
	}
	if err := v.checkRoot(root); err != nil {
		return err
	}
	tree, err := v.Tree()
	if err != nil {
		return err
	}
	return tree.VerifyEdge(data, shifted{r: hashes, by: v.TreeOffset()}, root.Bytes())
}

// VerifyEdgeFEC is VerifyEdge of a volume with parity, from which it restores, in
// memory, damaged blocks that it meets, as the kernel will.
func VerifyEdgeFEC(data, hashes, parity io.ReaderAt, v Volume, f FEC, root digest.Digest) error {
	d, h := newPatched(data, v.DataBlockSize), newPatched(hashes, v.HashBlockSize)
	r, err := newRepairer(d, h, parity, v, f, root)
	if err != nil {
		return fmt.Errorf("verify edge of volume: %w", err)
	}
	for {
		err := VerifyEdge(d, h, v, root)
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
			return fmt.Errorf("%w: %w", ErrUncorrectable, err)
		}
	}
}
