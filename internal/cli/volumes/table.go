package volumes

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/decimal"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

func (a *app) dmDump() *cobra.Command {
	var p dmParams
	cmd := &cobra.Command{
		Use: "dump HASH", Short: "Print the superblock of a volume", Args: ui.Exactly(1, "HASH"),
		Long: "Dump prints the superblock of a volume, and with --fec-device how much parity it has.",
		RunE: func(_ *cobra.Command, args []string) error { return a.runDMDump(args[0], p) },
	}
	p.fecFlags(cmd)
	cmd.Flags().Var(decimal.Flag(&p.offset, 0), "hash-offset", "where the hash area begins on HASH, in `bytes`")
	return cmd
}

func (a *app) runDMDump(name string, p dmParams) (err error) {
	hash, err := openDevice(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer hash.Close()
	v, err := p.superblock(hash)
	if err != nil {
		return err
	}
	var fec *dmverity.FEC
	if p.fecDevice != "" {
		parity, err := openDevice(p.fecDevice, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer parity.Close()
		if fec, err = p.fec(hash, parity); err != nil {
			return err
		}
	}
	a.traceFile("hashes", hash)
	a.traceVolume("", name, v)
	a.traceFEC(p.fecDevice, v, fec)
	a.smallBlocks(name, v)
	return a.showVolume(name, v, digest.Digest{}, fec)
}

// tableFlags are those of dmverity table.
type tableFlags struct {
	dmParams
	rootFile, onCorruption, onError, key string
	ignoreZero, once, tasklet            bool
	errorToo                             bool // --error-as-corruption
}

// tableLine is the result of dmverity table.
type tableLine struct {
	Table string `json:"table"`
}

// corruption are the values of --on-corruption and the words that they stand for.
var corruption = map[string]dmverity.OnCorruption{
	"eio": "", "ignore": dmverity.IgnoreCorruption, "restart": dmverity.RestartOnCorruption, "panic": dmverity.PanicOnCorruption,
}

func (a *app) dmTable() *cobra.Command {
	var f tableFlags
	cmd := &cobra.Command{
		Use: "table DATA HASH [ROOT-HASH]", Short: "Print the device-mapper table of a volume",
		Long: "Table prints the line from which dmsetup(8) makes a device of the volume. Before that it looks whether the\n" +
			"root hash is of this volume, with as many data blocks, as open does.",
		Example: "  ipe dmverity table /dev/loop0 /dev/loop1 --root-hash-file root.roothash | dmsetup create -r root",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMTable(cmd, args, f) },
	}
	f.paramFlags(cmd)
	f.placeFlags(cmd)
	f.fecFlags(cmd)
	f.optionFlags(cmd)
	cmd.Flags().StringVar(&f.key, "root-hash-sig-key", "", "`description` of the key in the user keyring that holds the signature")
	return cmd
}

// optionFlags are what the kernel is told beside the volume.
func (f *tableFlags) optionFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.rootFile, "root-hash-file", "", "read the root hash from this `file`")
	fl.StringVar(&f.onCorruption, "on-corruption", "eio", "`what` the kernel does about a bad block: eio, ignore, restart or panic")
	fl.StringVar(&f.onError, "on-error", "eio", "`what` it does if a device cannot be read (Linux 6.12): eio, restart or panic")
	fl.BoolVar(&f.ignoreZero, "ignore-zero-blocks", false, "do not read blocks that should be zero")
	fl.BoolVar(&f.once, "check-at-most-once", false, "verify a data block at its first read only")
	fl.BoolVar(&f.tasklet, "use-tasklets", false, "verify in the softirq that ends a read, not in a kernel thread")
	ui.Choices(cmd, "on-corruption", "eio", "ignore", "restart", "panic")
	ui.Choices(cmd, "on-error", "eio", "restart", "panic")
}

// options begins a table.
func (f *tableFlags) options(cmd *cobra.Command) (t dmverity.Table, err error) {
	word, ok := corruption[f.onCorruption]
	if !ok {
		return t, ui.Usage(cmd, "--on-corruption %s: not eio, ignore, restart or panic", f.onCorruption)
	}
	if f.errorToo {
		if cmd.Flags().Changed("on-error") {
			return t, ui.Usage(cmd, "--error-as-corruption and --on-error say the same: one of them is wanted")
		}
		if f.onCorruption != "restart" && f.onCorruption != "panic" {
			return t, ui.Usage(cmd, "--error-as-corruption needs --restart-on-corruption or --panic-on-corruption")
		}
		f.onError = f.onCorruption
	}
	onError, ok := map[string]string{"eio": "", "restart": "restart_on_error", "panic": "panic_on_error"}[f.onError]
	if !ok {
		return t, ui.Usage(cmd, "--on-error %s: not eio, restart or panic", f.onError)
	}
	return dmverity.Table{
		OnCorruption: word, OnIOError: onError, IgnoreZeroBlocks: f.ignoreZero, CheckAtMostOnce: f.once,
		TryVerifyInTasklet: f.tasklet, SignatureKey: f.key,
	}, nil
}

func (a *app) runDMTable(cmd *cobra.Command, args []string, f tableFlags) (err error) {
	if len(args) < 2 || len(args) > 3 {
		return ui.Usage(cmd, "%s wants DATA, HASH and ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	table, err := f.options(cmd)
	if err != nil {
		return err
	}
	c := &checked{}
	defer func() { err = closing(err, c.data, c.hash, c.parity) }()
	if err := a.openVolume(c, cmd, args, verifyFlags{dmParams: f.dmParams}); err != nil {
		return err
	}
	if c.root, err = a.readRoot(cmd, c.Algorithm, args[2:], f.rootFile); err != nil {
		return err
	}
	if err := c.precheck(table); err != nil {
		return err
	}
	table.Volume, table.Root, table.FEC = c.Volume, c.root, c.fec
	table.DataDevice, table.HashDevice, table.FECDevice = args[0], args[1], f.fecDevice
	line, err := table.Line()
	if err != nil {
		return ui.Usage(cmd, "%w", err)
	}
	return a.Result(tableLine{line}, "%s\n", line)
}
