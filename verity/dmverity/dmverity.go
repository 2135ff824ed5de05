// Package dmverity formats and verifies dm-verity volumes, whose root hashes IPE
// policies name as dmverity_roothash.
//
// A volume is a data device and a hash device, which may be one and the same. The
// hash area begins at an offset with a Superblock that holds the parameters, and
// behind it, at the next whole hash block, lies the hash tree (package merkle).
// An [Image] is a volume with the devices that it lies on. Its Format writes both and
// returns the root hash; Verify names every block that is not what it was;
// ReadSuperblock reads the parameters back. Table writes the line with which
// device-mapper makes a device of it. EncodeFEC adds Reed-Solomon parity, with which
// Repair, or the kernel, restores what is damaged.
//
//	v := dmverity.Volume{Superblock: dmverity.Default()}
//	v.DataBlocks, v.Salt, v.UUID = size/4096, dmverity.NewSalt(), dmverity.NewUUID()
//	root, err := dmverity.Image{Volume: v, Data: data, Hashes: hashes}.Format(ctx, merkle.Options{})
//
// Everything that is written is, byte for byte, what veritysetup(8) of cryptsetup
// 2.6 writes with the same parameters. The format is that of
// Documentation/admin-guide/device-mapper/verity.rst in the kernel's sources and of
// cryptsetup's description of the superblock, version 1.
//
// Offsets are in bytes. The package opens no devices: it works on io.ReaderAt and
// io.WriterAt, which several goroutines use at the same time.
//
// Stability: this is version 0. What is written on devices is the format's and stays, and
// volumes that are read today will be. Names of this package may still change.
package dmverity

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// sector is the unit of device-mapper tables and of hash offsets, in bytes.
const sector = 512

// Volume is parameters with the place of the hash area.
type Volume struct {
	Superblock
	// HashOffset is where the hash area begins on the hash device, in bytes: a
	// multiple of 512, or of the hash block size if there is no superblock.
	HashOffset int64
	// NoSuperblock leaves the superblock out. All parameters must then be known to
	// whoever opens the volume; there is no UUID.
	NoSuperblock bool
}

func (v Volume) check() error {
	if err := v.Superblock.check(); err != nil {
		return err
	}
	align := int64(sector)
	if v.NoSuperblock {
		align = int64(v.HashBlockSize)
	}
	if v.HashOffset < 0 || v.HashOffset%align != 0 {
		return fmt.Errorf("%w: hash offset %d, not a multiple of %d", ErrParams, v.HashOffset, align)
	}
	tree, err := v.Tree()
	if err != nil {
		return err
	}
	if v.HashOffset > math.MaxInt64-tree.Size()-merkle.MaxBlockSize-SuperblockSize {
		return fmt.Errorf("%w: hash area at %d ends beyond all devices", ErrParams, v.HashOffset)
	}
	return nil
}

// Of returns the volume on a data device of some bytes: if its superblock says no number of
// data blocks, it has as many as fit there.
func (v Volume) Of(size int64) Volume {
	if v.DataBlocks == 0 && v.DataBlockSize > 0 {
		v.DataBlocks = size / int64(v.DataBlockSize)
	}
	return v
}

// DataSize returns the bytes of data that the volume covers.
func (v Volume) DataSize() int64 { return v.DataBlocks * int64(v.DataBlockSize) }

// TreeOffset returns where the hash tree begins on the hash device, in bytes.
func (v Volume) TreeOffset() int64 {
	if v.NoSuperblock {
		return v.HashOffset
	}
	block := int64(v.HashBlockSize)
	return (v.HashOffset + SuperblockSize + block - 1) / block * block
}

// HashEnd returns where the hash tree ends on the hash device, in bytes. Errors
// wrap ErrParams or merkle.ErrAlgorithm.
func (v Volume) HashEnd() (int64, error) {
	if err := v.check(); err != nil {
		return 0, err
	}
	tree, err := v.Tree()
	if err != nil {
		return 0, err
	}
	return v.TreeOffset() + tree.Size(), nil
}

// shifted is a device from an offset on.
type shifted struct {
	r  io.ReaderAt
	w  io.WriterAt
	by int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error)  { return s.r.ReadAt(p, off+s.by) }
func (s shifted) WriteAt(p []byte, off int64) (int, error) { return s.w.WriteAt(p, off+s.by) }

// treeOf is the tree of a volume that makes sense, with a root hash of its algorithm.
func (v Volume) treeOf(root digest.Digest) (*merkle.Tree, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if err := v.checkRoot(root); err != nil {
		return nil, err
	}
	return v.Tree()
}

// checkRoot wants the root hash to be one of the volume's algorithm.
func (v Volume) checkRoot(root digest.Digest) error {
	h, err := merkle.NewHash(v.Algorithm)
	if err != nil {
		return err
	}
	if root.Algorithm() != v.Algorithm || root.Size() != h.Size() {
		return fmt.Errorf("%w: root hash %v for a volume of %s", ErrParams, root, v.Algorithm)
	}
	return nil
}

// Verify compares all data with the hash tree and the tree with the root hash.
// Every bad block is given to report, as merkle.Tree.Verify does it; offsets of
// hash blocks count from TreeOffset. If there was any, a *merkle.CorruptError is in
// the error's chain.
//
// The superblock is not covered by the root hash: the Volume is trusted here, but for
// the number of its data blocks; see VerifyEdge.
func (im Image) Verify(ctx context.Context, root digest.Digest, report func(merkle.BadBlock), opts merkle.Options) error {
	if err := im.verify(ctx, root, report, opts); err != nil {
		return fmt.Errorf("verify volume: %w", err)
	}
	return nil
}

func (im Image) verify(ctx context.Context, root digest.Digest, report func(merkle.BadBlock), opts merkle.Options) error {
	tree, err := im.treeOf(root)
	if err != nil {
		return err
	}
	return tree.Verify(ctx, im.Data, shifted{r: im.Hashes, by: im.TreeOffset()}, root.Bytes(), report, opts)
}

// SignedContent returns what a root hash signature covers, for the kernel and for
// systemd's .roothash.p7s: the digest in lower-case hex digits, without the
// algorithm and without an end of line. The signature is detached PKCS#7.
func SignedContent(root digest.Digest) []byte {
	return []byte(hex.EncodeToString(root.Bytes()))
}
