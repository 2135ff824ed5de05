package policies

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/keys"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// signFlags are those of policy sign.
type signFlags struct {
	keys.Flags
	out   string
	force bool
}

// signed is the result of policy sign.
type signed struct {
	File    string `json:"file"`
	Output  string `json:"output"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Signer  string `json:"signer"`
	SHA256  string `json:"sha256"`
}

func (a *app) sign() *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use: "sign --key KEY [--cert CERT] FILE", Short: "Sign a policy text for deployment", Args: ui.Exactly(1, "one FILE"),
		Long: "Sign checks the policy text FILE and writes it as a signed message (PKCS#7), by default to\n" +
			"FILE.p7b. The result loads into iped and into a kernel that has IPE.\n\n" +
			"The passphrase of an encrypted key is read from --passphrase-file, else from the\n" +
			"environment variable " + keys.PassphraseEnv + ", else asked for if standard input is a terminal.\n\n" +
			"KEY may be the URI of a key on a PKCS#11 token (RFC 7512). Without --cert, its certificate is read\n" +
			"from the token, too. The PIN is read from --pin-file, else from pin-source in the URI, else from\n" +
			keys.PINEnv + ", else asked for like a passphrase.",
		Example: "  ipe policy sign --key signer.key --cert signer.pem site.pol\n" +
			"  ipe policy sign --key 'pkcs11:token=site;object=policies?module-path=/usr/lib/softhsm/libsofthsm2.so' site.pol",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSign(cmd, args[0], f) },
	}
	f.Add(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "where to write, - for standard output (default FILE.p7b)")
	cmd.Flags().BoolVar(&f.force, "force", false, "sign even what no kernel accepts")
	return cmd
}

func (a *app) runSign(cmd *cobra.Command, file string, f signFlags) error {
	if err := f.Check(cmd, f.out); err != nil {
		return err
	}
	switch {
	case file == "-" && f.out == "":
		return ui.Usage(cmd, "signing standard input needs -o")
	case f.out != "" && ui.SameFile(f.out, file):
		return ui.Usage(cmd, "-o %s: would overwrite what is read", plain.Name(f.out))
	}
	text, err := a.Read(file)
	if err != nil {
		return err
	}
	p, err := a.signable(file, text, f.force)
	if err != nil {
		return err
	}
	s, err := f.Open(cmd.Context(), a.UI)
	if err != nil {
		return err
	}
	defer s.Close()
	s.WarnOfCertificate(a.UI, time.Now())
	envelope, err := s.Sign(text, sign.Options{Hash: f.Digest()})
	if errors.Is(err, sign.ErrTooLong) {
		return ui.Hinted(err, "no engine takes a longer one; "+tooLong)
	}
	if err != nil {
		return err
	}
	return a.writeSigned(file, f.out, p, s.Cert, envelope)
}

// signable parses the text. What is invalid passes only by force; there is no
// policy then.
func (a *app) signable(file string, text []byte, force bool) (*policy.Policy, error) {
	p, err := policy.Parse(text)
	if err == nil {
		a.warn(file, warnings(text, p, extent{limit: sign.MaxLen}))
		return p, nil
	}
	a.diagnose(file, text, err)
	if force {
		return nil, nil
	}
	return nil, ui.Hinted(fmt.Errorf("sign %s: not a valid policy", plain.Name(file)), "mend it, or sign it as it is with --force")
}

func (a *app) writeSigned(file, out string, p *policy.Policy, cert *x509.Certificate, envelope []byte) error {
	if out == "-" {
		return a.Emit(envelope)
	}
	if out == "" {
		out = file + ".p7b"
	}
	if err := ui.Create(out, envelope); err != nil {
		return err
	}
	r := signed{File: file, Output: out, Signer: cert.Subject.String(), SHA256: sum(envelope)}
	what := "what is not a policy"
	if p != nil {
		r.Name, r.Version = p.Name, p.Version.String()
		what = plain.Name(p.Name) + " " + r.Version
	}
	return a.Result(r, "%s: signed %s by %s, %d bytes\n", plain.Name(out), plain.Text(what), plain.Text(r.Signer), len(envelope))
}
