package cli

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/verity/fsverity"
)

// signedFile is the result of fsverity sign.
type signedFile struct {
	File   string `json:"file"`
	Digest string `json:"digest"`
	Output string `json:"output"`
	Signer string `json:"signer"`
}

func (a *app) fsSign() *cobra.Command {
	var f signFlags
	var p fsParams
	cmd := &cobra.Command{
		Use: "sign --key KEY [--cert CERT] FILE", Short: "Sign a file for fs-verity", Args: exactly(1, "one FILE"),
		Long: "Sign writes the built-in signature of a file, detached PKCS#7 over its digest, by default to FILE.p7s.\n" +
			"The kernel checks it when fs-verity is enabled with it, and whenever the file is opened.\n\n" +
			"The passphrase of an encrypted key is read as by ipe policy sign.",
		Example: "  ipe fsverity sign --key signer.key --cert signer.pem server",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runFSSign(cmd, args[0], p, f) },
	}
	f.keyFlags(cmd)
	p.flags(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "where to write, - for standard output (default FILE.p7s)")
	return cmd
}

func (a *app) runFSSign(cmd *cobra.Command, file string, p fsParams, f signFlags) error {
	params, err := p.params(cmd)
	if err != nil {
		return err
	}
	out := f.out
	if out == "" {
		out = file + ".p7s"
	}
	if out != "-" && sameFile(out, file) {
		return usage(cmd, "-o %s: would overwrite what is read", out)
	}
	m := (&measurer{params: params, bar: a.progress(0)}).file(cmd.Context(), measureJob{path: file})
	if m.err != nil {
		return m.err
	}
	content, err := fsverity.FormattedDigest(m.digest)
	if err != nil {
		return err
	}
	return a.signDetached(cmd, content, out, f, func(signer string) error {
		return a.result(signedFile{file, m.digest.String(), out, signer}, "%s: signed %v by %s\n", out, m.digest, printable(signer))
	})
}
