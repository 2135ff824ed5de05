package dmverity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Format hashes the data, writes superblock and hash tree to the hash device, and
// returns the root hash. It is WriteTree and then WriteSuperblock: whatever ends it in
// between leaves no superblock over a tree that is not its own.
//
// What lies before HashOffset, and between superblock and tree, is left alone; data and
// hashes may be one device if they do not overlap, which is for the caller to see to.
// Errors wrap ErrParams or merkle.ErrAlgorithm, are the devices' own, or the cause of the
// end of ctx.
func (im Image) Format(ctx context.Context, opts merkle.Options) (digest.Digest, error) {
	root, err := im.WriteTree(ctx, opts)
	if err != nil {
		return digest.Digest{}, err
	}
	if err := im.WriteSuperblock(); err != nil {
		return digest.Digest{}, err
	}
	return root, nil
}

// WriteTree hashes the data, writes the hash tree to the hash device, and returns the root
// hash. Before it writes, it wipes a superblock that is there; until then, nothing is
// changed. Errors are those of Format.
func (im Image) WriteTree(ctx context.Context, opts merkle.Options) (digest.Digest, error) {
	root, err := im.writeTree(ctx, opts)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("format volume: %w", err)
	}
	return digest.New(im.Algorithm, root), nil
}

func (im Image) writeTree(ctx context.Context, opts merkle.Options) ([]byte, error) {
	im.Superblock = im.clone()
	if err := im.check(); err != nil {
		return nil, err
	}
	tree, err := im.Tree()
	if err != nil {
		return nil, err
	}
	return tree.Build(ctx, im.Data, shifted{w: &wiping{Image: im}, by: im.TreeOffset()}, opts)
}

// WriteSuperblock writes the superblock of a volume that has one. On a device with a
// method Sync, all that was written before is durable then. Errors are those of Format.
func (im Image) WriteSuperblock() error {
	if im.NoSuperblock {
		return nil
	}
	b, err := im.MarshalBinary()
	if err == nil {
		err = im.replaceSuperblock(b)
	}
	if err != nil {
		return fmt.Errorf("format volume: %w", err)
	}
	return nil
}

func (im Image) replaceSuperblock(b []byte) error {
	if err := settle(im.Hashes); err != nil {
		return err
	}
	if _, err := im.Hashes.WriteAt(b, im.HashOffset); err != nil {
		return fmt.Errorf("write superblock at %d: %w", im.HashOffset, err)
	}
	return nil
}

// WipeSuperblock overwrites what begins like a superblock at HashOffset with zeros: what
// is behind it is no volume then.
func (im Image) WipeSuperblock() error {
	found := make([]byte, len(signature))
	n, err := im.Hashes.ReadAt(found, im.HashOffset)
	if n < len(found) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read superblock at %d: %w", im.HashOffset, err)
	}
	if string(found[:n]) != signature {
		return nil
	}
	if _, err := im.Hashes.WriteAt(make([]byte, SuperblockSize), im.HashOffset); err != nil {
		return fmt.Errorf("wipe superblock at %d: %w", im.HashOffset, err)
	}
	return settle(im.Hashes)
}

// wiping is a hash device whose superblock is wiped before anything else is written.
type wiping struct {
	Image
	once sync.Once
	err  error
}

// WriteAt implements [io.WriterAt].
func (w *wiping) WriteAt(b []byte, at int64) (int, error) {
	w.once.Do(func() { w.err = w.WipeSuperblock() })
	if w.err != nil {
		return 0, w.err
	}
	return w.Hashes.WriteAt(b, at)
}

// settle makes what was written durable, if the device can do that: a crash must not find
// what was written later, and not what was before.
func settle(d Device) error {
	s, ok := d.(interface{ Sync() error })
	if !ok {
		return nil
	}
	return s.Sync()
}
