package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// badBlock is a line of dmverity verify.
type badBlock struct {
	Area   string `json:"area"` // "data" or "hash"
	Level  int    `json:"level"`
	Block  int64  `json:"block"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
}

// volumeVerdict is the result of dmverity verify.
type volumeVerdict struct {
	Valid bool       `json:"valid"`
	Bad   []badBlock `json:"bad"`
	// Repairable is the number of wrong bytes that parity can undo, -1 if it cannot undo
	// all; 0 without parity, and where digests must tell what is wrong.
	Repairable int64 `json:"repairable"`
	// RepairableBlocks is the number of bad blocks, if parity can restore all.
	RepairableBlocks int64 `json:"repairable_blocks"`
	Repaired         int   `json:"repaired"`
	// Reason is why parity cannot restore all, empty if it can.
	Reason string `json:"reason"`
}

// maxBad bounds the blocks that are named one by one.
const maxBad = 1000

// verifyFlags are those of dmverity verify.
type verifyFlags struct {
	dmParams
	rootFile string
	repair   bool
	strict   bool
}

func (a *app) dmVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify DATA HASH [ROOT-HASH]", Short: "Compare a volume with its root hash, and name every bad block",
		Long: "Verify compares DATA with the hash tree on HASH, and that with the root hash. With --fec-device it says\n" +
			"how many errors parity can undo; with --repair it undoes them, in DATA and HASH themselves.\n" +
			"The exit status is 1 if a block is bad, unless parity can restore all that are; with --strict, unless\n" +
			"all were repaired.",
		Example: "  ipe dmverity verify root.img root.verity --root-hash-file root.roothash",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMVerify(cmd, args, f) },
	}
	f.paramFlags(cmd)
	f.placeFlags(cmd)
	f.fecFlags(cmd)
	cmd.Flags().StringVar(&f.rootFile, "root-hash-file", "", "read the root hash from this `file`")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "write what parity restores to DATA and HASH")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit status 1 for bad blocks that parity can restore, too, unless they were repaired")
	return cmd
}

// checked is a volume with its devices.
type checked struct {
	dmverity.Volume
	data, hash, parity *os.File
	fec                *dmverity.FEC
	root               digest.Digest
}

// image is the volume for those who read and write it.
func (c *checked) image() dmverity.Image {
	im := dmverity.Image{Volume: c.Volume, Data: c.data, Hashes: c.hash, FEC: c.fec}
	if c.parity != nil { // a nil file is a device
		im.Parity = c.parity
	}
	return im
}

func (a *app) runDMVerify(cmd *cobra.Command, args []string, f verifyFlags) (err error) {
	if len(args) < 2 || len(args) > 3 {
		return ui.Usage(cmd, "%s wants DATA, HASH and ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	if f.repair && f.fecDevice == "" {
		return ui.Usage(cmd, "--repair needs --fec-device")
	}
	c := &checked{}
	defer func() { err = closing(err, c.data, c.hash, c.parity) }()
	if err := a.openVolume(c, cmd, args, f); err != nil {
		return err
	}
	if c.root, err = a.readRoot(cmd, c.Algorithm, args[2:], f.rootFile); err != nil {
		return err
	}
	if c.root.Algorithm() != c.Algorithm {
		return ui.Usage(cmd, "root hash of %s, the volume has %s", c.root.Algorithm(), c.Algorithm)
	}
	return a.verdict(cmd, c, f)
}

// openVolume opens what is there, and says what is odd about it.
func (a *app) openVolume(c *checked, cmd *cobra.Command, args []string, f verifyFlags) error {
	if err := c.open(cmd, args, f); err != nil {
		return err
	}
	a.traceFile("data", c.data)
	a.traceFile("hashes", c.hash)
	a.traceVolume(args[0], args[1], c.Volume)
	a.traceFEC(f.fecDevice, c.Volume, c.fec)
	if !f.noSuperblock {
		a.smallBlocks(args[1], c.Volume)
	}
	return nil
}

// smallBlocks notices a volume of the smallest blocks that there are, as systemd-repart
// made them for long: veritysetup(8) makes them of 4096 bytes if it is told nothing.
func (a *app) smallBlocks(name string, v dmverity.Volume) {
	const smallest = 512
	if v.DataBlockSize != smallest && v.HashBlockSize != smallest {
		return
	}
	size, err := v.HashEnd()
	if err != nil {
		return // it has no number of data blocks
	}
	large := v
	large.NoSuperblock, large.HashOffset = true, 0
	large.DataBlockSize, large.HashBlockSize, large.DataBlocks = page, page, (v.DataSize()+page-1)/page
	usual, err := large.HashEnd()
	if err != nil {
		return // as above
	}
	cost := ""
	if has := size - v.TreeOffset(); has != usual {
		cost = fmt.Sprintf(": the hash tree has %d bytes, and would have %d", has, usual)
	}
	a.Say("notice", "%s: data blocks of %d and hash blocks of %d bytes, where %d are usual%s", plain.Name(name), v.DataBlockSize, v.HashBlockSize, page, cost)
}

// open opens what is there.
func (c *checked) open(cmd *cobra.Command, args []string, f verifyFlags) (err error) {
	mode := os.O_RDONLY
	if f.repair {
		mode = os.O_RDWR
	}
	if c.data, err = openDevice(args[0], mode); err != nil {
		return err
	}
	if c.hash, err = openDevice(args[1], mode); err != nil {
		return err
	}
	if f.fecDevice != "" {
		if c.parity, err = openDevice(f.fecDevice, os.O_RDONLY); err != nil {
			return err
		}
	}
	if c.Volume, err = f.open(cmd, c.data, c.hash); err != nil {
		return err
	}
	c.fec, err = f.fec(c.hash, c.parity)
	return err
}

// verdict verifies and prints.
func (a *app) verdict(cmd *cobra.Command, c *checked, f verifyFlags) error {
	bar := a.Progress(c.DataSize())
	defer bar.End()
	r := volumeVerdict{Bad: []badBlock{}}
	opts := merkle.Options{Progress: bar.UpTo()}
	bad := func(b merkle.BadBlock) {
		if len(r.Bad) < maxBad {
			r.Bad = append(r.Bad, c.badBlock(b))
		}
	}
	verr := c.image().Verify(cmd.Context(), c.root, bad, opts)
	var corrupt *merkle.CorruptError
	if verr != nil && !errors.As(verr, &corrupt) {
		return verr
	}
	bar.End()
	a.traceBad(verr)
	if verr != nil && c.fec != nil {
		if err := a.mend(cmd.Context(), c, &r, f.repair); err != nil {
			return err
		}
	}
	r.Valid = verr == nil || c.fec != nil && r.Repairable >= 0 && (f.repair || !f.strict)
	if err := a.printVerdict(r, corrupt, c.fec != nil, f.repair); err != nil {
		return err
	}
	switch {
	case r.Valid:
		return nil
	case r.Reason != "" && !f.repair:
		return ui.Hinted(ui.ErrSaid, "%s; --repair restores the blocks that can be", r.Reason)
	case r.Reason != "":
		return ui.Hinted(ui.ErrSaid, "%s; what could be restored was, the rest is lost unless there is another copy", r.Reason)
	}
	return ui.ErrSaid
}

func (c *checked) badBlock(b merkle.BadBlock) badBlock {
	r := badBlock{Area: "data", Level: b.Level, Block: b.Index, Offset: b.Offset, Length: b.Length}
	if b.Level != merkle.DataLevel {
		r.Area, r.Offset = "hash", c.TreeOffset()+b.Offset
	}
	return r
}

// mend counts what parity can undo, or undoes it.
func (a *app) mend(ctx context.Context, c *checked, r *volumeVerdict, repair bool) error {
	do := a.count
	if repair {
		do = a.repair
	}
	a.trace("decodes parity, to restore bad blocks for good: %v", repair)
	err := do(ctx, c, r)
	var why *dmverity.UncorrectableError
	if !errors.As(err, &why) {
		return err
	}
	r.Repairable, r.Reason = -1, why.Error()
	return nil
}

// repair restores what can be, and sees to it that this is durable even if it is not all.
func (a *app) repair(ctx context.Context, c *checked, r *volumeVerdict) error {
	bar := a.Progress(c.DataSize())
	defer bar.End()
	done, err := c.image().Repair(ctx, c.root, merkle.Options{Progress: bar.UpTo()})
	r.Repaired = len(done)
	if err != nil && !errors.Is(err, dmverity.ErrUncorrectable) {
		err = fmt.Errorf("%w; before that, %d blocks were repaired", err, len(done))
	}
	if e := errors.Join(c.data.Sync(), c.hash.Sync()); e != nil {
		return e
	}
	return err
}

// count counts what the kernel, or repair, would undo.
func (a *app) count(ctx context.Context, c *checked, r *volumeVerdict) (err error) {
	bar := a.Progress(c.DataSize())
	defer bar.End()
	if r.RepairableBlocks, err = c.image().Repairable(ctx, c.root, merkle.Options{Progress: bar.UpTo()}); err != nil {
		return err
	}
	bar.End()
	bar = a.Progress(0) // of data, hashes and what follows
	defer bar.End()
	n, err := c.image().CheckFEC(ctx, merkle.Options{Progress: bar.UpTo()})
	if errors.Is(err, dmverity.ErrUncorrectable) {
		return nil // by digests it is not
	}
	r.Repairable = n
	return err
}

// printVerdict prints one line a bad block, and what became of them.
func (a *app) printVerdict(r volumeVerdict, corrupt *merkle.CorruptError, fec, repair bool) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	text := ""
	for _, b := range r.Bad {
		where := "data"
		if b.Area == "hash" {
			where = fmt.Sprintf("hash level %d", b.Level)
		}
		text += fmt.Sprintf("%s block %d is corrupt, bytes %d to %d\n", where, b.Block, b.Offset, b.Offset+b.Length-1)
	}
	if corrupt != nil && corrupt.Count > int64(len(r.Bad)) {
		text += fmt.Sprintf("and %d more\n", corrupt.Count-int64(len(r.Bad)))
	}
	switch {
	case corrupt == nil || !fec:
	case r.Repairable < 0:
		text += "Errors cannot be repaired with FEC device.\n"
		if repair {
			text += fmt.Sprintf("%d blocks repaired, the others are as they were\n", r.Repaired)
		}
	case repair:
		text += fmt.Sprintf("%d blocks repaired\n", r.Repaired)
	default:
		if r.Repairable > 0 {
			text += fmt.Sprintf("Found %d repairable errors with FEC device.\n", r.Repairable)
		}
		text += fmt.Sprintf("All bad blocks, %d, can be repaired with FEC device: the kernel does so whenever it reads one, --repair does it for good\n", r.RepairableBlocks)
	}
	_, err := fmt.Fprint(a.Stdout(), text)
	return err
}
