package volumes

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// volumeState is an open volume as JSON.
type volumeState struct {
	Name      string `json:"name"`
	Active    bool   `json:"active"`
	Device    string `json:"device"`
	InUse     bool   `json:"in_use"`
	Corrupted bool   `json:"corrupted"`
	Signed    bool   `json:"signed"`

	HashType      int    `json:"hash_type"`
	Algorithm     string `json:"algorithm"`
	DataBlocks    int64  `json:"data_blocks"`
	DataBlockSize int    `json:"data_block_size"`
	HashBlockSize int    `json:"hash_block_size"`
	Salt          string `json:"salt"`
	DataDevice    string `json:"data_device"`
	DataFile      string `json:"data_file"`
	HashDevice    string `json:"hash_device"`
	HashFile      string `json:"hash_file"`
	// TreeOffset is where the hash tree begins, in bytes, behind any superblock.
	TreeOffset int64  `json:"tree_offset"`
	FECDevice  string `json:"fec_device"`
	FECFile    string `json:"fec_file"`
	FECOffset  int64  `json:"fec_offset"`
	FECRoots   int    `json:"fec_roots"`
	// FECRepaired is how often parity has restored a block since the volume was opened, -1
	// if the kernel does not say.
	FECRepaired int64  `json:"fec_repaired"`
	RootHash    string `json:"roothash"`
	// Options are words of the table.
	Options []string `json:"options"`
	// Size says whether the hash tree is of as many data blocks as the device has:
	// "verified", "wrong" or "unknown"; SizeError says more about the last two.
	Size      string `json:"size"`
	SizeError string `json:"size_error"`
}

// The words of Size.
const (
	sizeVerified = "verified"
	sizeWrong    = "wrong"
	sizeUnknown  = "unknown"
)

// judgeSize compares the size of an open volume with its hash tree.
func (v *volumeState) judgeSize(s devmapper.Status) {
	err := s.VerifyEdge()
	switch {
	case err == nil:
		v.Size = sizeVerified
		return
	case errors.As(err, new(*merkle.SizeError)):
		v.Size = sizeWrong
	default:
		v.Size = sizeUnknown
	}
	v.SizeError = err.Error()
}

func newVolumeState(s devmapper.Status) volumeState {
	t := s.Table
	v := volumeState{
		Name: s.Name, Active: true, Device: s.Path(), InUse: s.Opens > 0, Corrupted: s.Corrupted, Signed: t.SignatureKey != "",
		HashType: t.HashType, Algorithm: t.Algorithm, DataBlocks: t.DataBlocks, DataBlockSize: t.DataBlockSize,
		HashBlockSize: t.HashBlockSize, Salt: hex.EncodeToString(t.Salt), TreeOffset: t.TreeOffset(),
		RootHash: t.Root.String(), Options: flagWords(t), FECRepaired: s.Repaired,
	}
	v.DataDevice, v.DataFile = devmapper.Backing(t.DataDevice)
	v.HashDevice, v.HashFile = devmapper.Backing(t.HashDevice)
	if t.FEC != nil {
		v.FECDevice, v.FECFile = devmapper.Backing(t.FECDevice)
		v.FECOffset, v.FECRoots = t.FEC.Offset, t.FEC.Roots
	}
	v.judgeSize(s)
	return v
}

// flagWords are the options of a table that are words alone, in the order in which
// veritysetup(8) prints them.
func flagWords(t dmverity.Table) []string {
	words := []string{}
	if t.OnCorruption != "" {
		words = append(words, string(t.OnCorruption))
	}
	for _, w := range []struct {
		set  bool
		word string
	}{
		{t.IgnoreZeroBlocks, "ignore_zero_blocks"}, {t.CheckAtMostOnce, "check_at_most_once"},
		{t.TryVerifyInTasklet, "try_verify_in_tasklet"}, {t.OnIOError != "", t.OnIOError},
	} {
		if w.set {
			words = append(words, w.word)
		}
	}
	return words
}

func (a *app) dmStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status [NAME]", Short: "Show open volumes",
		Long: "Status shows what an open volume is made of, and whether a bad block was read since it was opened, in\n" +
			"the layout of veritysetup(8). Without NAME it lists all open volumes. It reads the hash tree, too, and says if\n" +
			"that is of another number of blocks than the volume was opened with. The exit status is 1 then, and if NAME\n" +
			"is not open.",
		ValidArgsFunction: a.volumeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return a.listVolumes()
			case 1:
				return a.showStatus(cmd, strings.TrimPrefix(args[0], devmapper.Dir+"/"))
			}
			return ui.Usage(cmd, "%s wants one NAME, got %d arguments", cmd.CommandPath(), len(args))
		},
	}
}

func (a *app) showStatus(cmd *cobra.Command, name string) error {
	if err := goodName(cmd, name); err != nil {
		return err
	}
	a.trace("device-mapper: ask for device, table and state of %s", plain.Name(devmapper.Path(name)))
	s, err := devmapper.Look(name)
	if errors.Is(err, devmapper.ErrInactive) {
		if err := a.Result(volumeState{Name: name, Options: []string{}, FECRepaired: -1}, "%s is inactive.\n", plain.Name(devmapper.Path(name))); err != nil {
			return err
		}
		return ui.ErrSaid
	}
	if err != nil {
		return mapperHint(err)
	}
	a.traceDevice(s)
	v := newVolumeState(s)
	if err := a.Result(v, "%s", v.text(s)); err != nil {
		return err
	}
	return v.fault()
}

// fault is the command's answer to a volume of a wrong size.
func (v volumeState) fault() error {
	if v.Size != sizeWrong {
		return nil
	}
	return ui.Hinted(errors.New(v.SizeError), "what is read from it is of the volume, but not all that is; close it, and see who opened it")
}

// word is the state in one word, or two.
func (v volumeState) word() string {
	switch {
	case v.Size == sizeWrong:
		return "wrong size"
	case v.Corrupted:
		return "corrupted"
	}
	return "verified"
}

// text is what veritysetup prints.
func (v volumeState) text(s devmapper.Status) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-13s%s\n", name, plain.Text(fmt.Sprintf(format, args...)))
	}
	file := func(name, value string) {
		if value != "" {
			line(name, "%s", plain.Name(value))
		}
	}
	state, use := v.word(), ""
	if v.Signed {
		state += " (with signature)"
	}
	if v.InUse {
		use = " and is in use"
	}
	fmt.Fprintf(&b, "%s is active%s.\n", plain.Name(v.Device), use)
	line("type:", "VERITY")
	line("status:", "%s", state)
	line("hash type:", "%d", v.HashType)
	line("data block:", "%d", v.DataBlockSize)
	line("hash block:", "%d", v.HashBlockSize)
	line("hash name:", "%s", v.Algorithm)
	if v.Salt == "" {
		line("salt:", "-")
	} else {
		line("salt:", "%s", v.Salt)
	}
	line("data device:", "%s", v.DataDevice)
	file("data loop:", v.DataFile)
	line("size:", "%d sectors", s.Table.Sectors())
	if s.ReadOnly {
		line("mode:", "readonly")
	} else {
		line("mode:", "read/write")
	}
	line("hash device:", "%s", v.HashDevice)
	file("hash loop:", v.HashFile)
	line("hash offset:", "%d sectors", v.TreeOffset/sectorSize)
	if v.FECDevice != "" {
		line("FEC device:", "%s", v.FECDevice)
		file("FEC loop:", v.FECFile)
		line("FEC offset:", "%d sectors", v.FECOffset/sectorSize)
		line("FEC roots:", "%d", v.FECRoots)
		if v.FECRepaired >= 0 {
			fmt.Fprintf(&b, "  FEC repaired: %d [events]\n", v.FECRepaired)
		}
	}
	line("root hash:", "%x", s.Table.Root.Bytes())
	if len(v.Options) > 0 {
		line("flags:", "%s", strings.Join(v.Options, " "))
	}
	return b.String()
}

// sectorSize is what device-mapper counts in, in bytes.
const sectorSize = 512

func (a *app) listVolumes() error {
	all, err := devmapper.List()
	if err != nil && len(all) == 0 {
		return mapperHint(err)
	}
	return errors.Join(a.printVolumes(all), err)
}

func (a *app) printVolumes(all []devmapper.Status) error {
	states := []volumeState{}
	for _, s := range all {
		a.traceDevice(s)
		states = append(states, newVolumeState(s))
	}
	if a.JSON {
		return errors.Join(a.PrintJSON(states), faults(states))
	}
	w := tabwriter.NewWriter(a.Stdout(), 0, 0, 2, ' ', 0)
	for _, v := range states {
		signed := "unsigned"
		if v.Signed {
			signed = "signed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", plain.Name(v.Name), v.word(), signed, v.RootHash)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return faults(states)
}

func faults(all []volumeState) error {
	var errs []error
	for _, v := range all {
		errs = append(errs, v.fault())
	}
	return errors.Join(errs...)
}
