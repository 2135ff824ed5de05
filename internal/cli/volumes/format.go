package volumes

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// volumeFlags are those of dmverity format.
type volumeFlags struct {
	dmParams
	rootFile string
}

func (a *app) dmFormat() *cobra.Command {
	var f volumeFlags
	cmd := &cobra.Command{
		Use: "format DATA HASH", Short: "Write the hash area of a volume and print its root hash", Args: ui.Exactly(2, "DATA and HASH"),
		Long: "Format hashes DATA and writes superblock and hash tree to HASH, which is made if there is none. DATA\n" +
			"and HASH may be one: then the hash area must begin behind the data, at --hash-offset.",
		Example: "  ipe dmverity format root.img root.verity --root-hash-file root.roothash",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMFormat(cmd, args[0], args[1], f) },
	}
	f.paramFlags(cmd)
	cmd.Flags().Lookup("salt").Usage += " (default random)"
	f.placeFlags(cmd)
	f.fecFlags(cmd)
	cmd.Flags().StringVar(&f.uuid, "uuid", "", "name of the volume (default random)")
	cmd.Flags().StringVar(&f.rootFile, "root-hash-file", "", "write the root hash to this `file`, as hex")
	return cmd
}

func (a *app) runDMFormat(cmd *cobra.Command, dataName, hashName string, f volumeFlags) (err error) {
	data, err := openDevice(dataName, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer data.Close()
	v, err := f.fresh(cmd, data)
	if err != nil {
		return err
	}
	if err := f.apart(dataName, hashName, v); err != nil {
		return ui.Usage(cmd, "%w", err)
	}
	out, err := openOutput(hashName)
	if err != nil {
		return err
	}
	defer func() { err = out.end(err) }()
	hash := out.File
	bar := a.Progress(v.DataSize())
	defer bar.End()
	root, err := dmverity.Image{Volume: v, Data: data, Hashes: hash}.Format(cmd.Context(), merkle.Options{Progress: bar.UpTo()})
	if err != nil {
		return err
	}
	if err := wholeBlock(hash, v); err != nil {
		return err
	}
	parity, fec, err := f.encode(cmd, data, hash, v)
	if err != nil {
		return err
	}
	if parity != nil {
		defer func() { err = parity.end(err) }()
	}
	if err := hash.Sync(); err != nil {
		return err
	}
	bar.End()
	return a.volumeMade(hashName, f.rootFile, v, root, fec)
}

// fresh is the volume that is to be made.
func (f *volumeFlags) fresh(cmd *cobra.Command, data *os.File) (dmverity.Volume, error) {
	size, err := sizeOf(data)
	if err != nil {
		return dmverity.Volume{}, err
	}
	v, err := f.volume(cmd, size)
	if err != nil {
		return v, err
	}
	if f.salt == "" {
		v.Salt = dmverity.NewSalt()
	}
	if v.DataSize() > size {
		return v, ui.Usage(cmd, "--data-blocks %d: there are %d", v.DataBlocks, size/int64(v.DataBlockSize))
	}
	v.UUID = dmverity.NewUUID()
	if cmd.Flags().Changed("uuid") {
		if v.UUID, err = dmverity.ParseUUID(f.uuid); err != nil {
			return v, ui.Usage(cmd, "--uuid: %w", err)
		}
	}
	if f.noSuperblock {
		v.UUID = dmverity.UUID{}
	}
	return v, nil
}

// apart wants hash area and parity behind the data, and parity behind the hash
// area, where they are on one device.
func (f *volumeFlags) apart(data, hash string, v dmverity.Volume) error {
	one := func(a, b string) bool { return a == b || ui.SameFile(a, b) }
	if one(data, hash) && v.HashOffset < v.DataSize() {
		return fmt.Errorf("DATA and HASH are one, and the hash area at %d would overwrite data, which ends at %d", v.HashOffset, v.DataSize())
	}
	if f.fecDevice == "" {
		return nil
	}
	if one(data, f.fecDevice) && f.fecOffset < v.DataSize() {
		return fmt.Errorf("parity at %d would overwrite data, which ends at %d", f.fecOffset, v.DataSize())
	}
	return dmverity.FEC{Roots: f.fecRoots, Offset: f.fecOffset, OnHashDevice: one(hash, f.fecDevice)}.Check(v)
}

// page is the largest piece in which veritysetup writes superblocks, in bytes.
const page = 4096

// wholeBlock fills up a file that ends with the superblock to a whole hash block, or to a
// page where blocks are larger, as veritysetup does: block devices have no part of one.
func wholeBlock(hash *os.File, v dmverity.Volume) error {
	st, err := hash.Stat()
	if err != nil || !st.Mode().IsRegular() || v.NoSuperblock {
		return err
	}
	piece := int64(min(v.HashBlockSize, page))
	if end := (v.HashOffset + dmverity.SuperblockSize + piece - 1) / piece * piece; v.DataBlocks == 1 && st.Size() < end {
		return hash.Truncate(end)
	}
	return nil
}

// encode adds parity, if it is wanted. The caller ends parity.
func (f *volumeFlags) encode(cmd *cobra.Command, data, hash *os.File, v dmverity.Volume) (parity *output, fec *dmverity.FEC, err error) {
	if f.fecDevice == "" {
		return nil, nil, nil
	}
	if parity, err = openOutput(f.fecDevice); err != nil {
		return nil, nil, err
	}
	if fec, err = f.fec(hash, parity.File); err == nil {
		err = dmverity.Image{Volume: v, Data: data, Hashes: hash, Parity: parity, FEC: fec}.EncodeFEC(cmd.Context(), merkle.Options{})
	}
	if err == nil {
		err = parity.Sync()
	}
	if err != nil {
		return nil, nil, parity.end(err)
	}
	return parity, fec, nil
}

// volumeMade prints what was made.
func (a *app) volumeMade(name, rootFile string, v dmverity.Volume, root digest.Digest, fec *dmverity.FEC) error {
	if rootFile != "" {
		if err := ui.Create(rootFile, []byte(hex.EncodeToString(root.Bytes()))); err != nil {
			return err
		}
	}
	return a.showVolume(name, v, root, fec)
}
