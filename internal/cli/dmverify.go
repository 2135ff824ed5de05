package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
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
	// Repairable is the number of wrong bytes that parity can undo, -1 if there are
	// more than that, and 0 without parity.
	Repairable int64 `json:"repairable"`
	Repaired   int   `json:"repaired"`
}

// maxBad bounds the blocks that are named one by one.
const maxBad = 1000

// verifyFlags are those of dmverity verify.
type verifyFlags struct {
	dmParams
	rootFile string
	repair   bool
}

func (a *app) dmVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify DATA HASH [ROOT-HASH]", Short: "Compare a volume with its root hash, and name every bad block",
		Long: "Verify compares DATA with the hash tree on HASH, and that with the root hash. With --fec-device it says\n" +
			"how many errors parity can undo; with --repair it undoes them, in DATA and HASH themselves.\n" +
			"The exit status is 1 if a block is bad, unless all were repaired.",
		Example: "  ipe dmverity verify root.img root.verity --root-hash-file root.roothash",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMVerify(cmd, args, f) },
	}
	f.paramFlags(cmd)
	f.placeFlags(cmd)
	f.fecFlags(cmd)
	cmd.Flags().StringVar(&f.rootFile, "root-hash-file", "", "read the root hash from this `file`")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "write what parity restores to DATA and HASH")
	return cmd
}

// checked is a volume with its devices.
type checked struct {
	dmverity.Volume
	data, hash, parity *os.File
	fec                *dmverity.FEC
	root               digest.Digest
}

func (a *app) runDMVerify(cmd *cobra.Command, args []string, f verifyFlags) (err error) {
	if len(args) < 2 || len(args) > 3 {
		return usage(cmd, "%s wants DATA, HASH and ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	if f.repair && f.fecDevice == "" {
		return usage(cmd, "--repair needs --fec-device")
	}
	c := &checked{}
	defer func() { err = closing(err, c.data, c.hash, c.parity) }()
	if err := c.open(cmd, args, f); err != nil {
		return err
	}
	if c.root, err = a.readRoot(cmd, c.Algorithm, args[2:], f.rootFile); err != nil {
		return err
	}
	if c.root.Algorithm() != c.Algorithm {
		return usage(cmd, "root hash of %s, the volume has %s", c.root.Algorithm(), c.Algorithm)
	}
	return a.verdict(cmd, c, f.repair)
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
func (a *app) verdict(cmd *cobra.Command, c *checked, repair bool) error {
	bar := a.progress(c.DataSize())
	defer bar.end()
	r := volumeVerdict{Bad: []badBlock{}}
	opts := merkle.Options{Progress: bar.upTo()}
	bad := func(b merkle.BadBlock) {
		if len(r.Bad) < maxBad {
			r.Bad = append(r.Bad, c.badBlock(b))
		}
	}
	verr := dmverity.Verify(cmd.Context(), c.data, c.hash, c.Volume, c.root, bad, opts)
	var corrupt *merkle.CorruptError
	if verr != nil && !errors.As(verr, &corrupt) {
		return verr
	}
	if verr != nil && c.fec != nil {
		if err := c.mend(cmd, &r, repair); err != nil {
			return err
		}
	}
	bar.end()
	r.Valid = verr == nil || repair && r.Repairable >= 0
	if err := a.printVerdict(r, corrupt, c.fec != nil, repair); err != nil {
		return err
	}
	if !r.Valid {
		return errSaid
	}
	return nil
}

func (c *checked) badBlock(b merkle.BadBlock) badBlock {
	r := badBlock{Area: "data", Level: b.Level, Block: b.Index, Offset: b.Offset, Length: b.Length}
	if b.Level != merkle.DataLevel {
		r.Area, r.Offset = "hash", c.TreeOffset()+b.Offset
	}
	return r
}

// mend counts what parity can undo, or undoes it.
func (c *checked) mend(cmd *cobra.Command, r *volumeVerdict, repair bool) error {
	if repair {
		done, err := dmverity.Repair(cmd.Context(), c.data, c.hash, c.parity, c.Volume, *c.fec, c.root, merkle.Options{})
		r.Repaired = len(done)
		if errors.Is(err, dmverity.ErrUncorrectable) {
			r.Repairable = -1
			return nil
		}
		return errors.Join(err, c.data.Sync(), c.hash.Sync())
	}
	n, err := dmverity.CheckFEC(cmd.Context(), c.data, c.hash, c.parity, c.Volume, *c.fec, merkle.Options{})
	r.Repairable = n
	if errors.Is(err, dmverity.ErrUncorrectable) {
		r.Repairable, err = -1, nil
	}
	return err
}

// printVerdict prints one line a bad block, and what became of them.
func (a *app) printVerdict(r volumeVerdict, corrupt *merkle.CorruptError, fec, repair bool) error {
	if a.json {
		return a.printJSON(r)
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
	case repair:
		text += fmt.Sprintf("%d blocks repaired\n", r.Repaired)
	default:
		text += fmt.Sprintf("Found %d repairable errors with FEC device.\n", r.Repairable)
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}
