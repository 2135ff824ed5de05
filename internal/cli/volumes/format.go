package volumes

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
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
	cmd.Flags().StringVar(&f.uuid, "uuid", "", "`UUID` of the volume (default random)")
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
	if err := f.rootPlace(); err != nil {
		return err
	}
	bar := a.Progress(v.DataSize())
	defer bar.End()
	n := &formatting{Volume: v, data: data}
	defer func() { err = n.end(err) }()
	if err := n.open(f, hashName); err != nil {
		return err
	}
	a.traceFile("data", data)
	a.traceFormat(n, f)
	root, err := n.write(cmd.Context(), f, merkle.Options{Progress: bar.UpTo()})
	if err != nil {
		return err
	}
	bar.End()
	a.trace("hash tree is written, superblock: %v, root hash %v", !v.NoSuperblock, root)
	return a.volumeMade(hashName, f.rootFile, v, root, n.fec)
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
// area, where they are on one device, and the root hash on none of them.
func (f *volumeFlags) apart(data, hash string, v dmverity.Volume) error {
	one := func(a, b string) bool { return a == b || ui.SameFile(a, b) }
	for _, name := range []string{data, hash, f.fecDevice} {
		if f.rootFile != "" && one(name, f.rootFile) {
			return fmt.Errorf("--root-hash-file %s would overwrite what the volume lies on", plain.Name(f.rootFile))
		}
	}
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

// rootPlace wants a place for the root hash, before there is one.
func (f *volumeFlags) rootPlace() error {
	if f.rootFile == "" {
		return nil
	}
	return ui.MayCreate(f.rootFile)
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

// volumeMade prints what was made.
func (a *app) volumeMade(name, rootFile string, v dmverity.Volume, root digest.Digest, fec *dmverity.FEC) error {
	if rootFile != "" {
		if err := ui.Create(rootFile, []byte(hex.EncodeToString(root.Bytes()))); err != nil {
			return err
		}
	}
	return a.showVolume(name, v, root, fec)
}
