package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
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

func (a *app) dmSign() *cobra.Command {
	var f signFlags
	var rootFile string
	cmd := &cobra.Command{
		Use: "sign --key KEY [--cert CERT] [ROOT-HASH]", Short: "Sign a root hash",
		Long: "Sign writes a detached PKCS#7 signature of the root hash in hex, as the kernel checks it when a\n" +
			"volume is activated, and as systemd expects it in NAME.roothash.p7s. With --root-hash-file it goes to\n" +
			"FILE.p7s if -o is not given.\n\n" +
			"The passphrase of an encrypted key is read as by ipe policy sign.",
		Example: "  ipe dmverity sign --key signer.key --cert signer.pem --root-hash-file root.roothash",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runDMSign(cmd, args, rootFile, f) },
	}
	f.keyFlags(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "where to write, - for standard output")
	cmd.Flags().StringVar(&rootFile, "root-hash-file", "", "read the root hash from this `file`")
	return cmd
}

func (a *app) runDMSign(cmd *cobra.Command, args []string, rootFile string, f signFlags) error {
	if len(args) > 1 {
		return ui.Usage(cmd, "%s wants one ROOT-HASH, got %d arguments", cmd.CommandPath(), len(args))
	}
	// The signature covers no algorithm; a name only tells how long the digest is.
	root, err := a.readRoot(cmd, "", args, rootFile)
	if err != nil {
		return err
	}
	out := f.out
	switch {
	case root.Size() == 0:
		return ui.Usage(cmd, "the root hash is empty")
	case out == "" && rootFile == "":
		return ui.Usage(cmd, "a ROOT-HASH on the command line needs -o")
	case out == "":
		out = rootFile + ".p7s"
	}
	return a.signDetached(cmd, dmverity.SignedContent(root), out, f, sign.Options{}, func(signer string) error {
		return a.Result(signedRoot{root.String(), out, signer}, "%s: signed by %s\n", plain.Name(out), plain.Text(signer))
	})
}

// signDetached signs content and writes the message; done is told who signed if
// it went to a file.
func (a *app) signDetached(cmd *cobra.Command, content []byte, out string, f signFlags, opts sign.Options, done func(signer string) error) error {
	if err := f.check(cmd, out); err != nil {
		return err
	}
	message, signer, err := a.detached(cmd.Context(), content, f, opts)
	if err != nil {
		return err
	}
	if out == "-" {
		return a.Emit(message)
	}
	if err := ui.Create(out, message); err != nil {
		return err
	}
	return done(signer)
}

// detached returns a signature of content, and who signed.
func (a *app) detached(ctx context.Context, content []byte, f signFlags, opts sign.Options) (message []byte, signer string, err error) {
	s, err := a.signer(ctx, f)
	if err != nil {
		return nil, "", err
	}
	defer s.close()
	opts.Hash, opts.Detached = hashes[f.hash], true
	message, err = sign.Content(content, s.cert, s.key, opts)
	if err != nil {
		return nil, "", signHint(err)
	}
	return message, s.cert.Subject.String(), nil
}
