// Package keys reads the keys that sign, as a command line names them: in a file or on a
// token, with a certificate, and with a secret that is given or asked for.
package keys

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

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/sign"
)

// Variables of the environment, and what messages are digested with.
const (
	// PassphraseEnv is where the passphrase of a key may be given.
	PassphraseEnv = "IPE_KEY_PASSPHRASE"
	// PINEnv is where the PIN of a token may be given.
	PINEnv = "IPE_PIN"
	// moduleEnv is where the token's module may be given, as for OpenSSL's engine.
	moduleEnv = "PKCS11_MODULE_PATH"

	// DefaultHash is what messages are digested with.
	DefaultHash = "sha256"
)

// hintWhich is for keys and certificates that are in each other's place.
const hintWhich = "--key wants the private key, --cert the certificate that belongs to it"

// hashes are the values of --hash.
var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// Flags name the signer, and the digest of its messages.
type Flags struct {
	Key, Cert, Hash string

	passphraseFile, pinFile string
	hashFlag                string // the name of the flag for Hash
}

// Add adds the flags of commands that sign.
func (f *Flags) Add(cmd *cobra.Command) {
	f.whoFlags(cmd)
	f.hashName(cmd, "hash", DefaultHash, "")
}

// whoFlags name the signer.
func (f *Flags) whoFlags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.Key, "key", "", "private key of the signer: PEM `file`, or pkcs11: URI of one on a token")
	fl.StringVar(&f.Cert, "cert", "", "`file` with the certificate of that key, PEM or DER (default: the one in the key's file, or beside it on the token)")
	fl.StringVar(&f.passphraseFile, "passphrase-file", "", "`file` with the key's passphrase; a final newline does not count")
	fl.StringVar(&f.pinFile, "pin-file", "", "`file` with the token's PIN; a final newline does not count")
}

// hashName adds the flag that names the digest of the message.
func (f *Flags) hashName(cmd *cobra.Command, name, value, unset string) {
	f.hashFlag = name
	cmd.Flags().StringVar(&f.Hash, name, value, "`digest` of the message: sha256, sha384 or sha512"+unset)
	ui.Choices(cmd, name, slices.Sorted(maps.Keys(hashes))...)
}

// AddForFiles adds the flags of commands that sign and measure files. There, as for
// fsverity(1), --hash is short for --hash-alg; unset is what the digest is if the flag that
// names it is not given.
func (f *Flags) AddForFiles(cmd *cobra.Command, unset string) {
	f.whoFlags(cmd)
	f.hashName(cmd, "message-hash", "", " (default "+unset+")")
}

// Check refuses flags that make no sense, and to write to what is read.
func (f *Flags) Check(cmd *cobra.Command, outputs ...string) error {
	onToken := pkcs11uri.Is(f.Key)
	switch {
	case f.Key == "":
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
	if _, ok := hashes[f.Hash]; !ok {
		return ui.Usage(cmd, "--%s %s: not one of sha256, sha384, sha512", f.hashFlag, f.Hash)
	}
	for _, out := range outputs {
		if out != "-" && (ui.SameFile(out, f.Key) || ui.SameFile(out, f.Cert)) {
			return ui.Usage(cmd, "-o %s: would overwrite what is read", plain.Name(out))
		}
	}
	return nil
}

// Digest is the hash that Hash names. Check has seen that it does.
func (f *Flags) Digest() crypto.Hash { return hashes[f.Hash] }

// Signer is a certificate with its key.
type Signer struct {
	Cert    *x509.Certificate
	OnToken bool

	key  crypto.Signer
	from string // where the certificate was
	done func() // lets a token go
}

// Open reads certificate and key.
func (f *Flags) Open(ctx context.Context, u *ui.UI) (*Signer, error) {
	if pkcs11uri.Is(f.Key) {
		return f.tokenSigner(ctx, u)
	}
	from := f.Cert
	if from == "" {
		from = f.Key
	}
	cert, err := Certificate(u, from)
	if errors.Is(err, sign.ErrNoCertificate) {
		if f.Cert == "" {
			return nil, ui.Hinted(err, "name the file of the certificate with --cert")
		}
		return nil, ui.Hinted(err, hintWhich)
	}
	if err != nil {
		return nil, err
	}
	raw, err := u.Read(f.Key)
	if err != nil {
		return nil, err
	}
	key, err := f.privateKey(u, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plain.Name(f.Key), err)
	}
	return &Signer{Cert: cert, from: from, key: key, done: func() {}}, nil
}

// Close lets a token go.
func (s *Signer) Close() { s.done() }

// Certificate reads the first certificate of a file.
func Certificate(u *ui.UI, file string) (*x509.Certificate, error) {
	raw, err := u.Read(file)
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
func (f *Flags) privateKey(u *ui.UI, pemText []byte) (crypto.Signer, error) {
	pass, err := f.passphrase(u)
	if err != nil {
		return nil, err
	}
	key, err := sign.ParseKey(pemText, pass)
	if errors.Is(err, sign.ErrNoPassphrase) && f.passphraseFile == "" && u.CanAsk() {
		if pass, err = ui.AskSecret("passphrase of " + plain.Name(f.Key) + ": "); err != nil {
			return nil, err
		}
		key, err = sign.ParseKey(pemText, pass)
	}
	switch {
	case errors.Is(err, sign.ErrNoKey):
		return nil, ui.Hinted(err, hintWhich)
	case errors.Is(err, sign.ErrNoPassphrase):
		return nil, ui.Hinted(err, "give it with --passphrase-file or in %s", PassphraseEnv)
	case errors.Is(err, sign.ErrPassphrase):
		return nil, ui.Hinted(err, "spaces and line ends count, except one newline at the end of --passphrase-file")
	}
	return key, err
}

func (f *Flags) passphrase(u *ui.UI) ([]byte, error) {
	if f.passphraseFile == "" {
		return []byte(u.Getenv(PassphraseEnv)), nil
	}
	return secretFile(u, f.passphraseFile)
}

// secretFile reads a passphrase or a PIN.
func secretFile(u *ui.UI, file string) ([]byte, error) {
	b, err := u.Read(file)
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), err
}

// minRSABits is the length of RSA keys below which nobody should sign any longer
// (NIST SP 800-131A).
const minRSABits = 2048

// WarnOfCertificate says what kernels do not mind about a certificate and people do.
func (s *Signer) WarnOfCertificate(u *ui.UI, now time.Time) {
	cert := s.Cert
	warn := func(format string, args ...any) {
		u.WarnOf(plain.Name(s.from), format, args...)
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
