package volumes

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// volumeOptions are those of dmverity open.
type volumeOptions struct {
	tableFlags
	signature string
	// Others spell --on-corruption so.
	ignore, restart, panics bool
	shared                  bool
}

// opened is the result of dmverity open.
type opened struct {
	Name   string `json:"name"`
	Device string `json:"device"`
	Signed bool   `json:"signed"`
}

func (a *app) dmOpen() *cobra.Command {
	var f volumeOptions
	cmd := &cobra.Command{
		Use: "open DATA NAME HASH [ROOT-HASH]", Short: "Make a device of a volume, whose blocks the kernel verifies",
		Long: "Open makes the device /dev/mapper/NAME of a volume. The kernel compares each block that is read from it\n" +
			"with the hash tree on HASH, and that with the root hash. Files become loop devices. Before the kernel\n" +
			"does, open looks at sizes, at the parameters, and whether the root hash is of this volume, with as many\n" +
			"data blocks: the superblock, which says how many, is not covered by the root hash.\n\n" +
			"With --root-hash-signature the kernel verifies who signed the root hash, by the keys that it was built\n" +
			"with, those that they vouch for, and from Linux 6.12 on those of the firmware.",
		Example: "  ipe dmverity open root.img root root.verity --root-hash-file root.roothash --root-hash-signature root.roothash.p7s\n" +
			"  mount -o ro /dev/mapper/root /mnt",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runDMOpen(cmd, args, f) },
	}
	f.openFlags(cmd)
	return cmd
}

// dmCreate is open as veritysetup(8) had it once.
func (a *app) dmCreate() *cobra.Command {
	var f volumeOptions
	cmd := &cobra.Command{
		Use: "create NAME DATA HASH [ROOT-HASH]", Short: "Open, with NAME before DATA: an old spelling of it", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 3 || len(args) > 4 {
				return ui.Usage(cmd, "%s wants NAME, DATA, HASH and ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
			}
			args[0], args[1] = args[1], args[0]
			return a.runDMOpen(cmd, args, f)
		},
	}
	f.openFlags(cmd)
	return cmd
}

// openFlags are those of open.
func (f *volumeOptions) openFlags(cmd *cobra.Command) {
	f.paramFlags(cmd)
	f.placeFlags(cmd)
	f.fecFlags(cmd)
	f.optionFlags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.signature, "root-hash-signature", "", "detached PKCS#7 signature of the root hash, in this `file`")
	fl.BoolVar(&f.ignore, "ignore-corruption", false, "as --on-corruption ignore")
	fl.BoolVar(&f.restart, "restart-on-corruption", false, "as --on-corruption restart")
	fl.BoolVar(&f.panics, "panic-on-corruption", false, "as --on-corruption panic")
	fl.BoolVar(&f.errorToo, "error-as-corruption", false, "a device that cannot be read is as bad as a bad block (Linux 6.12)")
	fl.BoolVar(&f.shared, "shared", false, "DATA may be under other devices, too, which is always so")
}

// word settles what was said of corruption.
func (f *volumeOptions) word(cmd *cobra.Command) error {
	said := 0
	if cmd.Flags().Changed("on-corruption") {
		said++
	}
	for _, other := range []struct {
		set  bool
		word string
	}{{f.ignore, "ignore"}, {f.restart, "restart"}, {f.panics, "panic"}} {
		if other.set {
			f.onCorruption = other.word
			said++
		}
	}
	if said > 1 {
		return ui.Usage(cmd, "%d answers to what to do on corruption, where one is wanted", said)
	}
	return nil
}

func (a *app) runDMOpen(cmd *cobra.Command, args []string, f volumeOptions) (err error) {
	if len(args) < 3 || len(args) > 4 {
		return ui.Usage(cmd, "%s wants DATA, NAME, HASH and ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	if err := goodName(cmd, args[1]); err != nil {
		return err
	}
	if err := f.word(cmd); err != nil {
		return err
	}
	r := devmapper.Request{Name: args[1]}
	if r.Table, err = f.options(cmd); err != nil {
		return err
	}
	c := &checked{}
	defer func() { err = closing(err, c.data, c.hash, c.parity) }()
	if err := a.openVolume(c, cmd, []string{args[0], args[2]}, verifyFlags{dmParams: f.dmParams}); err != nil {
		return err
	}
	if c.root, err = a.readRoot(cmd, c.Algorithm, args[3:], f.rootFile); err != nil {
		return err
	}
	if r.Signature, err = keys.ReadSignature(a.UI, f.signature); err != nil {
		return err
	}
	if err := c.precheck(r.Table); err != nil {
		return err
	}
	r.Table.Volume, r.Table.Root, r.Table.FEC = c.Volume, c.root, c.fec
	r.Data, r.Hash, r.FEC = c.data, c.hash, c.parity
	a.trace("root hash and number of data blocks are of the volume; device-mapper makes %s", plain.Name(devmapper.Path(r.Name)))
	r.Trace = a.tracing()
	d, err := devmapper.Open(r)
	if err != nil {
		return openHint(err, r)
	}
	return a.Result(opened{d.Name, d.Path(), r.Signature != nil}, "%s\n", plain.Name(d.Path()))
}

// precheck looks whether root hash and number of blocks are of the volume. Where the
// kernel is to hand out corrupt blocks, a damaged hash tree is no obstacle.
func (c *checked) precheck(t dmverity.Table) error {
	verify := func() error { return c.image().VerifyEdge(c.root) }
	if c.fec != nil {
		verify = func() error {
			return c.image().VerifyEdgeFEC(c.root)
		}
	}
	err := verify()
	if errors.As(err, new(*merkle.CorruptError)) && t.OnCorruption == dmverity.IgnoreCorruption {
		return nil
	}
	return edgeHint(err, c)
}
