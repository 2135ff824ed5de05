package cli

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes that --hash names
	_ "crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// passphraseEnv is where the passphrase of a key may be given.
const passphraseEnv = "IPE_KEY_PASSPHRASE"

// hashes are the values of --hash.
var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// defaultHash is what messages are digested with.
const defaultHash = "sha256"

// signFlags are those of policy sign.
type signFlags struct {
	key, cert, out, hash, passphraseFile, pinFile string

	hashFlag string // the name of the flag for hash
	force    bool
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
			"environment variable " + passphraseEnv + ", else asked for if standard input is a terminal.\n\n" +
			"KEY may be the URI of a key on a PKCS#11 token (RFC 7512). Without --cert, its certificate is read\n" +
			"from the token, too. The PIN is read from --pin-file, else from pin-source in the URI, else from\n" +
			pinEnv + ", else asked for like a passphrase.",
		Example: "  ipe policy sign --key signer.key --cert signer.pem site.pol\n" +
			"  ipe policy sign --key 'pkcs11:token=site;object=policies?module-path=/usr/lib/softhsm/libsofthsm2.so' site.pol",
		RunE: func(cmd *cobra.Command, args []string) error { return a.runSign(cmd, args[0], f) },
	}
	f.keyFlags(cmd)
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "where to write, - for standard output (default FILE.p7b)")
	cmd.Flags().BoolVar(&f.force, "force", false, "sign even what no kernel accepts")
	return cmd
}

// keyFlags are those of commands that sign.
func (f *signFlags) keyFlags(cmd *cobra.Command) {
	f.whoFlags(cmd)
	f.hashName(cmd, "hash", defaultHash, "")
}

// whoFlags say who signs.
func (f *signFlags) whoFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.key, "key", "", "private key of the signer: PEM file, or pkcs11: URI of one on a token")
	fl.StringVar(&f.cert, "cert", "", "certificate of that key, PEM or DER (default: the one in the key's file, or beside it on the token)")
	fl.StringVar(&f.passphraseFile, "passphrase-file", "", "file with the key's passphrase; a final newline does not count")
	fl.StringVar(&f.pinFile, "pin-file", "", "file with the token's PIN; a final newline does not count")
}

// hashName adds the flag that names the digest of the message.
func (f *signFlags) hashName(cmd *cobra.Command, name, value, unset string) {
	f.hashFlag = name
	cmd.Flags().StringVar(&f.hash, name, value, "digest of the message: sha256, sha384 or sha512"+unset)
	ui.Choices(cmd, name, slices.Sorted(maps.Keys(hashes))...)
}

// fileKeyFlags are those of the commands that sign and measure files. There, as for
// fsverity(1), --hash is short for --hash-alg.
func (f *signFlags) fileKeyFlags(cmd *cobra.Command, unset string) {
	f.whoFlags(cmd)
	f.hashName(cmd, "message-hash", "", " (default "+unset+")")
}

// check refuses flags that make no sense, and to write to what is read.
func (f *signFlags) check(cmd *cobra.Command, outputs ...string) error {
	onToken := pkcs11uri.Is(f.key)
	switch {
	case f.key == "":
		return ui.Usage(cmd, "--key is needed")
	case f.pinFile != "" && !onToken:
		return ui.Usage(cmd, "--pin-file is for a key on a token (pkcs11:)")
	case f.passphraseFile != "" && onToken:
		return ui.Usage(cmd, "--passphrase-file is for a key in a file; a token has --pin-file")
	}
	if onToken {
		if _, err := f.tokenURI(); err != nil {
			return ui.Usage(cmd, "%w", err)
		}
	}
	if _, ok := hashes[f.hash]; !ok {
		return ui.Usage(cmd, "--%s %s: not one of sha256, sha384, sha512", f.hashFlag, f.hash)
	}
	for _, out := range outputs {
		if out != "-" && (ui.SameFile(out, f.key) || ui.SameFile(out, f.cert)) {
			return ui.Usage(cmd, "-o %s: would overwrite what is read", plain.Name(out))
		}
	}
	return nil
}

func (a *app) runSign(cmd *cobra.Command, file string, f signFlags) error {
	if err := f.check(cmd, f.out); err != nil {
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
	s, err := a.signer(cmd.Context(), f)
	if err != nil {
		return err
	}
	defer s.close()
	a.warnOfSigner(s.from, s.cert, time.Now())
	envelope, err := sign.Content(text, s.cert, s.key, sign.Options{Hash: hashes[f.hash]})
	if err != nil {
		return signHint(err)
	}
	return a.writeSigned(file, f.out, p, s.cert, envelope)
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

// signer is who signs.
type signer struct {
	cert    *x509.Certificate
	from    string // where the certificate was
	key     crypto.Signer
	onToken bool
	close   func() // lets a token go
}

// signer reads certificate and key.
func (a *app) signer(ctx context.Context, f signFlags) (*signer, error) {
	if pkcs11uri.Is(f.key) {
		return a.tokenSigner(ctx, f)
	}
	from := f.cert
	if from == "" {
		from = f.key
	}
	cert, err := a.certificate(from)
	if f.cert == "" && errors.Is(err, sign.ErrNoCertificate) {
		return nil, ui.Hinted(err, "name the file of the certificate with --cert")
	}
	if err != nil {
		return nil, err
	}
	raw, err := a.Read(f.key)
	if err != nil {
		return nil, err
	}
	key, err := a.privateKey(f, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(f.key), err)
	}
	return &signer{cert: cert, from: from, key: key, close: func() {}}, nil
}

// certificate reads the first certificate of a file.
func (a *app) certificate(file string) (*x509.Certificate, error) {
	raw, err := a.Read(file)
	if err != nil {
		return nil, err
	}
	certs, err := sign.ParseCertificates(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(file), err)
	}
	return certs[0], nil
}

// privateKey parses the key, and asks for its passphrase if it needs one that was
// not given and somebody is there to ask.
func (a *app) privateKey(f signFlags, pemText []byte) (crypto.Signer, error) {
	pass, err := a.passphrase(f.passphraseFile)
	if err != nil {
		return nil, err
	}
	key, err := sign.ParseKey(pemText, pass)
	if errors.Is(err, sign.ErrNoPassphrase) && f.passphraseFile == "" && a.CanAsk() {
		if pass, err = ui.AskSecret("passphrase of " + plain.Name(f.key) + ": "); err != nil {
			return nil, err
		}
		key, err = sign.ParseKey(pemText, pass)
	}
	switch {
	case errors.Is(err, sign.ErrNoKey):
		return nil, ui.Hinted(err, "--key wants the private key, --cert the certificate that belongs to it")
	case errors.Is(err, sign.ErrNoPassphrase):
		return nil, ui.Hinted(err, "give it with --passphrase-file or in %s", passphraseEnv)
	case errors.Is(err, sign.ErrPassphrase):
		return nil, ui.Hinted(err, "spaces and line ends count, except one newline at the end of --passphrase-file")
	}
	return key, err
}

func (a *app) passphrase(file string) ([]byte, error) {
	if file == "" {
		return []byte(a.Getenv(passphraseEnv)), nil
	}
	return a.secretFile(file)
}

// secretFile reads a passphrase or a PIN.
func (a *app) secretFile(file string) ([]byte, error) {
	b, err := a.Read(file)
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), err
}

// minRSABits is the length of RSA keys below which nobody should sign any longer
// (NIST SP 800-131A).
const minRSABits = 2048

// warnOfSigner says what kernels do not mind about a certificate and people do.
func (a *app) warnOfSigner(file string, cert *x509.Certificate, now time.Time) {
	warn := func(format string, args ...any) {
		a.WarnOf(plain.Name(file), format, args...)
	}
	day := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case now.After(cert.NotAfter):
		warn("the certificate expired on %s; neither iped nor a kernel looks at that", day(cert.NotAfter))
	case now.Before(cert.NotBefore):
		warn("the certificate is not valid before %s; neither iped nor a kernel looks at that", day(cert.NotBefore))
	}
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
		warn("the RSA key has %d bits; fewer than %d are weak", k.N.BitLen(), minRSABits)
	}
}

// signHint attaches what usually helps.
func signHint(err error) error {
	switch {
	case errors.Is(err, sign.ErrKeyMismatch):
		return ui.Hinted(err, "--key and --cert must belong together; the first certificate of the file counts")
	case errors.Is(err, sign.ErrTooLong):
		return ui.Hinted(err, "no engine takes a longer one; "+tooLong)
	}
	return tokenHint(err)
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
