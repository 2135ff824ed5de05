package volumes

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// signedRoot is the result of dmverity sign.
type signedRoot struct {
	RootHash string `json:"roothash"`
	Output   string `json:"output"`
	Signer   string `json:"signer"`
}

// rootSignFlags are those of dmverity sign.
type rootSignFlags struct {
	keys.Flags
	out, rootFile string
}

func (a *app) dmSign() *cobra.Command {
	var f rootSignFlags
	cmd := &cobra.Command{
		Use: "sign --key KEY [--cert CERT] [ROOT-HASH]", Short: "Sign a root hash",
		Long: "Sign writes a detached PKCS#7 signature of the root hash in hex, as the kernel checks it when a\n" +
			"volume is activated, and as systemd expects it in NAME.roothash.p7s. With --root-hash-file it goes to\n" +
			"FILE.p7s if -o is not given.\n\n" +
			"The passphrase of an encrypted key is read as by ipe policy sign.",
		Example: "  ipe dmverity sign --key signer.key --cert signer.pem --root-hash-file root.roothash",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMSign(cmd, args, f) },
	}
	f.Add(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "`file` to write, - for standard output")
	cmd.Flags().StringVar(&f.rootFile, "root-hash-file", "", "read the root hash from this `file`")
	return cmd
}

func (a *app) runDMSign(cmd *cobra.Command, args []string, f rootSignFlags) error {
	if len(args) > 1 {
		return ui.Usage(cmd, "%s wants one ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	// The signature covers no algorithm; a name only tells how long the digest is.
	root, err := a.readRoot(cmd, "", args, f.rootFile)
	if err != nil {
		return err
	}
	out := f.out
	switch {
	case root.Size() == 0:
		return ui.Usage(cmd, "the root hash is empty")
	case out == "" && f.rootFile == "":
		return ui.Usage(cmd, "a ROOT-HASH on the command line needs -o")
	case out == "":
		out = f.rootFile + ".p7s"
	}
	return f.WriteDetached(cmd, a.UI, dmverity.SignedContent(root), out, sign.Options{}, func(signer string) error {
		return a.Result(signedRoot{root.String(), out, signer}, "%s: signed by %s\n", plain.Name(out), plain.Text(signer))
	})
}
