package dmverity

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Repairable tells whether parity can restore all that is bad in a volume, as the kernel
// does when it reads it; nothing is written. It returns the number of bad blocks, of data
// and hashes. The first that cannot be restored ends it with an error that wraps
// an *UncorrectableError; other errors are those of Verify.
//
// Each restored block is compared with the digest that the tree has for it, and the tree
// with the root hash. Restored hash blocks are kept in memory, those of data are not: each
// is restored alone. Repair may restore more, for what it has restored helps the others.
func (im Image) Repairable(ctx context.Context, root digest.Digest, opts merkle.Options) (blocks int64, err error) {
	hash := newPatched(im.Hashes, im.HashBlockSize)
	im.Data, im.Hashes = forgetful{im.Data}, hash
	r, err := newRepairer(im, root)
	if err != nil {
		return 0, fmt.Errorf("look for repairs: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	for {
		mended, padded := hash.count(), false
		r.repaired = nil
		report := func(b merkle.BadBlock) {
			if ctx.Err() != nil {
				return
			}
			padded = padded || b.Want == nil
			if err := r.repairPath(b); err != nil {
				stop(err)
			}
		}
		err := im.verify(ctx, root, report, opts)
		switch {
		case context.Cause(ctx) != nil:
			return 0, fmt.Errorf("look for repairs: %w", context.Cause(ctx))
		case err != nil && !errors.As(err, new(*merkle.CorruptError)):
			return 0, fmt.Errorf("look for repairs: %w", err)
		case hash.count() == mended && padded:
			return 0, fmt.Errorf("look for repairs: %w: %w", r.uncorrectable(), err)
		case hash.count() == mended:
			return int64(mended + len(r.repaired)), nil
		}
		// What is below a hash block that was restored can be judged only now.
	}
}

// repairPath restores what is bad on the way from the root down to a bad block, and this.
// The error is one of the devices, or wraps ErrUncorrectable.
func (r *repairer) repairPath(b merkle.BadBlock) error {
	for r.err == nil {
		err := r.tree.VerifyBlock(r.data, shifted{r: r.hashes, by: r.area.hashAt}, r.root, b.First)
		var corrupt *merkle.CorruptError
		if !errors.As(err, &corrupt) {
			return err
		}
		before := len(r.repaired)
		r.repair(corrupt.First)
		switch {
		case r.err != nil:
		case len(r.repaired) == before:
			return fmt.Errorf("%w: %w", r.uncorrectable(), err)
		case corrupt.First.Level == merkle.DataLevel:
			return nil
		}
	}
	return r.err
}
