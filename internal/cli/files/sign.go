package files

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/seal"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// signedFile is the result of fsverity sign, for one file.
type signedFile struct {
	File   string `json:"file"`
	Digest string `json:"digest"`
	Output string `json:"output"`
	Signer string `json:"signer"`
}

// fsSignFlags are those of fsverity sign.
type fsSignFlags struct {
	keys.Flags
	fsParams
	metadataFlags
	peerToken
	selection
	out, signatures string
	beside          bool
	include         bool
}

func (a *app) fsSign() *cobra.Command {
	var f fsSignFlags
	cmd := &cobra.Command{
		Use:   "sign --key KEY [--cert CERT] FILE [SIGNATURE] | sign --key KEY [--cert CERT] [--beside | --signatures DIR] FILE...",
		Short: "Sign files for fs-verity", Args: ui.Some("FILE"),
		Long: "Sign writes the built-in signature of a file, detached PKCS#7 over its digest, to SIGNATURE as\n" +
			"\"fsverity sign\" does, by default to FILE.p7s. The kernel checks it when fs-verity is enabled with it,\n" +
			"and whenever the file is opened.\n\n" +
			"If a FILE is a directory, or there are three, each file is signed, and in directories each regular\n" +
			"file but those with names in .p7s. Signatures are in FILE.p7s, or with --signatures below that\n" +
			"directory, by the file's path below its argument: where ipe fsverity enable --signatures looks for\n" +
			"them. As two arguments are FILE and SIGNATURE, two files want --beside or --signatures. A signature\n" +
			"is written whole or not at all. What cannot be signed is named with the reason; the others have\n" +
			"their turn, and the exit status is 1.\n\n" +
			"The signature is made with the hash that --hash-alg names, and has no certificate in it, both as\n" +
			"fsverity(1) does it. Without --cert, the certificate is in the file of the key, or on the token.\n" +
			"The passphrase of an encrypted key is read as by ipe policy sign.",
		Example: "  ipe fsverity sign --key signer.key --cert signer.pem server server.sig\n" +
			"  ipe fsverity sign --key signer.key --cert signer.pem --executable --signatures sigs /opt/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Args = args
			return a.runFSSign(cmd, f)
		},
	}
	f.AddForFiles(cmd, "that of --hash-alg")
	f.fsParams.flags(cmd)
	f.metadataFlags.flags(cmd)
	f.peerToken.flags(cmd)
	f.selection.flags(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`file` to write, - for standard output; the same as SIGNATURE")
	fl.StringVar(&f.signatures, "signatures", "", "write the signature of each file below this `directory`, which is made if need be")
	fl.BoolVar(&f.beside, "beside", false, "write the signature of each file beside it, with .p7s at the end of the name")
	fl.BoolVar(&f.include, "include-cert", false, "put the signer's certificate into the signature")
	return cmd
}

func (a *app) runFSSign(cmd *cobra.Command, f fsSignFlags) error {
	params, err := a.params(cmd, &f.fsParams)
	if err != nil {
		return err
	}
	if f.Hash == "" {
		f.Hash = f.alg
	}
	if f.Key, err = f.uri(cmd, f.Key); err != nil {
		return err
	}
	if f.many() {
		return a.signMany(cmd, params, f)
	}
	return a.signOne(cmd, params, f)
}

// many reports whether each argument is to be signed: two are FILE and SIGNATURE.
func (f *fsSignFlags) many() bool {
	return f.beside || f.signatures != "" || len(f.Args) > 2 || isDir(f.Args[0])
}

func (a *app) signOne(cmd *cobra.Command, params fsverity.Params, f fsSignFlags) error {
	file := f.Args[0]
	if err := f.destination(cmd); err != nil {
		return err
	}
	if len(f.Args) > 1 {
		if err := a.asSignature(cmd, f.out); err != nil {
			return err
		}
	}
	if err := f.Check(cmd, f.out); err != nil {
		return err
	}
	if err := a.writeMetadata(cmd, file, params, f.metadataFlags); err != nil {
		return err
	}
	m := (&measure.Measurer{Params: params, Kernel: measure.AskSame, Progress: a.Progress(0)}).File(cmd.Context(), measure.Job{File: walk.Place{}.Named(file)})
	if m.Err != nil {
		return m.Err
	}
	content, err := fsverity.FormattedDigest(m.Digest)
	if err != nil {
		return err
	}
	return f.WriteDetached(cmd, a.UI, content, f.out, sign.Options{NoCertificate: !f.include}, func(signer string) error {
		return a.Result(signedFile{file, m.Digest.String(), f.out, signer}, "%s: signed %v by %s\n", plain.Name(f.out), m.Digest, plain.Text(signer))
	})
}

// destination finds out where the signature of the one file goes.
func (f *fsSignFlags) destination(cmd *cobra.Command) error {
	file := f.Args[0]
	switch {
	case len(f.Globs) > 0 || f.Executable:
		return ui.Usage(cmd, "--glob and --executable are for directories")
	case len(f.Args) > 1 && f.out != "":
		return ui.Usage(cmd, "SIGNATURE and -o are two ways to say one thing")
	case len(f.Args) > 1:
		f.out = f.Args[1]
	case f.out == "":
		f.out = file + seal.SignatureSuffix
	}
	if f.out != "-" && ui.SameFile(f.out, file) {
		return ui.Usage(cmd, "%s: would overwrite what is read", plain.Name(f.out))
	}
	return nil
}

// asSignature refuses a SIGNATURE that is something else already: who writes two files
// there, as if both were to be signed, must not lose one.
func (a *app) asSignature(cmd *cobra.Command, name string) error {
	st, err := os.Stat(name)
	switch {
	case err != nil, !st.IsDir() && !st.Mode().IsRegular(), st.Mode().IsRegular() && st.Size() == 0:
		return nil
	case st.IsDir():
		return ui.Usage(cmd, "%s is a directory: --signatures writes to it, --beside signs what is in it", plain.Name(name))
	}
	b, err := a.ReadUpTo(name, sign.MaxLen)
	if err == nil {
		_, err = sign.Inspect(b)
	}
	if err == nil {
		return nil
	}
	return ui.Usage(cmd, "%s is there, and is no signature: --beside signs both files, -o replaces it", plain.Name(name))
}

// signMany is fsverity sign for all files.
func (a *app) signMany(cmd *cobra.Command, params fsverity.Params, f fsSignFlags) error {
	switch {
	case f.beside && f.signatures != "":
		return ui.Usage(cmd, "--beside and --signatures exclude each other")
	case f.out != "":
		return ui.Usage(cmd, "-o is for one FILE; for more there is --signatures")
	case f.outTree != "" || f.outDescr != "":
		return ui.Usage(cmd, "--out-merkle-tree and --out-descriptor are for one FILE")
	}
	if err := f.Check(cmd); err != nil {
		return err
	}
	if err := f.check(cmd); err != nil {
		return err
	}
	if f.signatures != "" {
		if err := os.Mkdir(f.signatures, 0o755); err != nil && !isDir(f.signatures) {
			return fmt.Errorf("--signatures: %w", err)
		}
	}
	s, err := f.Open(cmd.Context(), a.UI)
	if err != nil {
		return err
	}
	defer s.Close()
	f.Args, f.Without = a.withoutSignatures(f.Args), seal.SignatureSuffix
	return a.signTree(cmd.Context(), s, params, f)
}
