package texts

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// signFlags are those of sign.
type signFlags struct {
	keys.Flags
	out   string
	force bool
}

// signed is the result of sign.
type signed struct {
	File    string `json:"file"`
	Output  string `json:"output"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Signer  string `json:"signer"`
	SHA256  string `json:"sha256"`
}

// Sign is the command that signs a text.
func (r *Room) Sign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use: "sign --key KEY [--cert CERT] FILE", Short: "Sign a " + r.noun + " text for deployment", Args: ui.Exactly(1, "one FILE"),
		Long: "Sign checks the " + r.noun + " text FILE and writes it as a signed message (PKCS#7), by default to\n" +
			"FILE.p7b. The result loads into " + r.loads + ".\n\n" +
			"The passphrase of an encrypted key is read from --passphrase-file, else from the\n" +
			"environment variable " + keys.PassphraseEnv + ", else asked for if standard input is a terminal.\n\n" +
			"KEY may be the URI of a key on a PKCS#11 token (RFC 7512). Without --cert, its certificate is read\n" +
			"from the token, too. The PIN is read from --pin-file, else from pin-source in the URI, else from\n" +
			keys.PINEnv + ", else asked for like a passphrase.",
		Example: "  ipe " + r.noun + " sign --key signer.key --cert signer.pem " + r.file + "\n" +
			"  ipe " + r.noun + " sign --key 'pkcs11:token=site;object=policies?module-path=/usr/lib/softhsm/libsofthsm2.so' " + r.file,
		RunE: func(cmd *cobra.Command, args []string) error { return r.runSign(cmd, args[0], f) },
	}
	f.Add(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "`file` to write, - for standard output (default FILE.p7b)")
	cmd.Flags().BoolVar(&f.force, "force", false, "sign even what "+r.takers)
	return cmd
}

func (r *Room) runSign(cmd *cobra.Command, file string, f signFlags) error {
	if err := f.Check(cmd, f.out); err != nil {
		return err
	}
	switch {
	case file == "-" && f.out == "":
		return ui.Usage(cmd, "signing standard input needs -o")
	case f.out != "" && ui.SameFile(f.out, file):
		return ui.Usage(cmd, "-o %s: would overwrite what is read", plain.Name(f.out))
	}
	text, err := r.Read(file)
	if err != nil {
		return err
	}
	head, err := r.signable(file, text, f.force)
	if err != nil {
		return err
	}
	s, err := f.Open(cmd.Context(), r.UI)
	if err != nil {
		return err
	}
	defer s.Close()
	s.WarnOfCertificate(r.UI, time.Now())
	envelope, err := s.Sign(text, sign.Options{Hash: f.Digest()})
	if errors.Is(err, sign.ErrTooLong) {
		return ui.Hinted(err, "no engine takes a longer one; %s", r.tooLong)
	}
	if err != nil {
		return err
	}
	return r.writeSigned(file, f.out, head, s.Cert, envelope)
}

// signable parses the text. What is invalid passes only by force, without a head.
func (r *Room) signable(file string, text []byte, force bool) (Head, error) {
	head, err := r.Parse(text)
	if err == nil {
		r.Warn(file, r.odd(text))
		return head, nil
	}
	r.Diagnose(file, text, err)
	if force {
		return Head{}, nil
	}
	return Head{}, ui.Hinted(fmt.Errorf("sign %s: not a valid %s", plain.Name(file), r.noun), "mend it, or sign it as it is with --force")
}

func (r *Room) writeSigned(file, out string, head Head, cert *x509.Certificate, envelope []byte) error {
	if out == "-" {
		return r.Emit(envelope)
	}
	if out == "" {
		out = file + ".p7b"
	}
	if err := ui.Create(out, envelope); err != nil {
		return err
	}
	s := signed{File: file, Output: out, Name: head.Name, Version: head.Version, Signer: cert.Subject.String(), SHA256: sum(envelope)}
	what := "what is not a " + r.noun
	if head.Name != "" {
		what = plain.Name(head.Name) + " " + head.Version
	}
	return r.Result(s, "%s: signed %s by %s, %d bytes\n", plain.Name(out), plain.Text(what), plain.Text(s.Signer), len(envelope))
}
