package volumes

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// formatting is a format that is under way. All that can be refused is, before it writes;
// what fails later leaves the volume that was there, or none.
type formatting struct {
	dmverity.Volume
	data         dmverity.Device
	hash, parity *output // parity is nil if none is wanted
	fec          *dmverity.FEC
	old          *dmverity.Volume // what was there, nil if nothing
}

// open opens what is to be written, and looks whether there is room for it.
func (n *formatting) open(f volumeFlags, hashName string) (err error) {
	if n.hash, err = openOutput(hashName); err != nil {
		return err
	}
	if old, err := dmverity.ReadSuperblock(n.hash, n.HashOffset); err == nil {
		n.old = &old
	}
	end, err := n.HashEnd()
	if err == nil {
		err = n.hash.room("the hash area", end)
	}
	if err != nil || f.fecDevice == "" {
		return err
	}
	if n.parity, err = openOutput(f.fecDevice); err != nil {
		return err
	}
	if n.fec, err = f.fec(n.hash.File, n.parity.File); err != nil {
		return err
	}
	later := n.later()
	return n.parity.room("the parity", later.Offset+later.Size(n.Volume))
}

// later is the error correction of the hash area as it will be.
func (n *formatting) later() *dmverity.FEC {
	later := *n.fec
	if end, err := n.HashEnd(); err == nil && !later.OnHashDevice {
		later.HashEnd = max(later.HashEnd, end)
	}
	return &later
}

func (n *formatting) image() dmverity.Image {
	im := dmverity.Image{Volume: n.Volume, Data: n.data, Hashes: n.hash, FEC: n.fec}
	if n.parity != nil {
		im.Parity = n.parity
	}
	return im
}

// write writes tree, parity, and at the very end the superblock.
func (n *formatting) write(ctx context.Context, f volumeFlags, opts merkle.Options) (digest.Digest, error) {
	root, err := n.image().WriteTree(ctx, opts)
	if err == nil {
		err = wholeBlock(n.hash.File, n.Volume)
	}
	if err == nil && n.parity != nil {
		err = n.encode(ctx, f)
	}
	if err == nil {
		err = n.image().WriteSuperblock()
	}
	if err == nil {
		err = n.hash.Sync()
	}
	return root, err
}

// encode adds the parity of what is on the hash device by now.
func (n *formatting) encode(ctx context.Context, f volumeFlags) error {
	fec, err := f.fec(n.hash.File, n.parity.File)
	if err != nil {
		return err
	}
	n.fec = fec
	if err := n.image().EncodeFEC(ctx, merkle.Options{}); err != nil {
		return err
	}
	return n.parity.Sync()
}

// end closes what open has opened, after a command that ended with err.
func (n *formatting) end(err error) error {
	if err != nil && n.hash != nil {
		err = n.spoilt(err)
	}
	if n.parity != nil {
		err = n.parity.end(err)
	}
	if n.hash != nil {
		err = n.hash.end(err)
	}
	return err
}

// spoilt says in which state a format that failed leaves what was there before, and sees
// to it that nothing half new looks like a volume.
func (n *formatting) spoilt(err error) error {
	name := plain.Name(n.hash.Name())
	parity := n.parity != nil && n.parity.touched.Load()
	if parity && !n.fec.OnHashDevice {
		err = fmt.Errorf("%w; the parity at %d of %s is partly overwritten, format writes it anew", err, n.fec.Offset, plain.Name(n.parity.Name()))
	}
	touched := n.hash.touched.Load() || parity && n.fec.OnHashDevice
	if !touched {
		if n.old != nil {
			err = fmt.Errorf("%w; superblock and hash tree on %s are as they were", err, name)
		}
		return err
	}
	err = errors.Join(fmt.Errorf("%w; the hash area at %d of %s is partly overwritten and no volume any more", err, n.HashOffset, name), n.image().WipeSuperblock())
	return ui.Hinted(err, "%s", n.wayOut())
}

// wayOut is what to do about a hash area that was there and is no more.
func (n *formatting) wayOut() string {
	text := "the data was only read; when the cause is gone, format again"
	if n.old == nil {
		return text
	}
	salt := hex.EncodeToString(n.old.Salt)
	if salt == "" {
		salt = "-"
	}
	return fmt.Sprintf("%s. The volume that was there has its old root hash again, if the data is still the same, with --format %d --hash %s "+
		"--data-block-size %d --hash-block-size %d --data-blocks %d --salt %s --uuid %v", text, n.old.HashType, n.old.Algorithm,
		n.old.DataBlockSize, n.old.HashBlockSize, n.old.DataBlocks, salt, n.old.UUID)
}
