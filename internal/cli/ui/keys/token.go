package keys

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/author/token"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// ErrNamesModule: a URI names a module itself.
var ErrNamesModule = errors.New("it names a module-path")

// WithModule returns the URI of a key, which may be empty for any, as one that names the
// module of the token's vendor. Errors: ErrNamesModule, and those of pkcs11uri.Parse.
func WithModule(uri, module string) (string, error) {
	if uri == "" {
		uri = pkcs11uri.Scheme
	}
	u, err := pkcs11uri.Parse(uri)
	if err != nil {
		return "", err
	}
	if _, ok := u.Get(pkcs11uri.ModulePath); ok {
		return "", ErrNamesModule
	}
	join := "?"
	if strings.Contains(uri, "?") {
		join = "&"
	}
	return uri + join + pkcs11uri.ModulePath + "=" + url.PathEscape(module), nil
}

// tokenURI reads --key if it names a key on a token.
func (f *Flags) tokenURI() (*pkcs11uri.URI, error) {
	u, err := pkcs11uri.Parse(f.Key)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	if _, ok := u.Get(pkcs11uri.PINValue); ok {
		return nil, fmt.Errorf("--key: pin-value is refused: everybody on this machine can read command lines (use --pin-file, pin-source or %s)", PINEnv)
	}
	if f.pinFile != "" && u.PINFile() != "" {
		return nil, errors.New("--pin-file and pin-source exclude each other")
	}
	return u, nil
}

// tokenSigner finds a key on a token, and its certificate there if there is no
// --cert.
func (f *Flags) tokenSigner(ctx context.Context, u *ui.UI) (*Signer, error) {
	uri, err := f.tokenURI()
	if err != nil {
		return nil, err
	}
	var cert *x509.Certificate
	if f.Cert != "" {
		if cert, err = Certificate(u, f.Cert); err != nil {
			return nil, err
		}
	}
	client, err := startToken(ctx)
	if err != nil {
		return nil, err
	}
	s := &Signer{Cert: cert, from: f.Cert, OnToken: true, done: func() { _ = client.Close() }} // what it did not do is told before
	if err := f.use(client, u, uri, s); err != nil {
		s.Close()
		return nil, tokenHint(fmt.Errorf("%v: %w", uri, err))
	}
	return s, nil
}

func startToken(ctx context.Context) (*token.Client, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", token.Program, err)
	}
	program, err := token.Find(self)
	if err != nil {
		return nil, ui.Hinted(err, "it is built beside ipe where there is a C compiler: make pkcs11")
	}
	return token.Start(ctx, program, os.Environ())
}

// use finds the key on the token.
func (f *Flags) use(client *token.Client, u *ui.UI, uri *pkcs11uri.URI, s *Signer) error {
	module, ok := uri.Get(pkcs11uri.ModulePath)
	if !ok {
		module = u.Getenv(moduleEnv)
	}
	if module == "" {
		return token.Errorf(token.Module, "no module is given")
	}
	t, err := client.Open(module, uri)
	if err != nil {
		return err
	}
	pin := ""
	if t.Login {
		if pin, err = f.pin(u, uri, t); err != nil {
			return err
		}
	}
	if err := client.Login(pin); err != nil {
		return err
	}
	key, err := client.Signer(s.Cert)
	if err != nil {
		return err
	}
	s.key = key
	if s.Cert == nil {
		s.from = uri.String()
		s.Cert, err = key.Certificate()
	}
	return err
}

// pin reads the PIN: from a file, else from the environment, else from whoever sits
// at the terminal.
func (f *Flags) pin(u *ui.UI, uri *pkcs11uri.URI, t *token.Token) (string, error) {
	file := f.pinFile
	if file == "" {
		file = uri.PINFile()
	}
	if file != "" {
		b, err := secretFile(u, file)
		return string(b), err
	}
	if pin := u.Getenv(PINEnv); pin != "" || !u.CanAsk() {
		return pin, nil
	}
	warning := ""
	if t.LastTry {
		warning = " (the last try before it locks)"
	}
	b, err := ui.AskSecret("PIN of token " + plain.Name(t.Label) + warning + ": ")
	return string(b), err
}

// tokenHint says what helps.
func tokenHint(err error) error {
	switch token.KindOf(err) {
	case token.Module:
		return ui.Hinted(err, "module-path=/… in the URI, or %s, names the library of the token's vendor", moduleEnv)
	case token.Died:
		return ui.Hinted(err, "the token's module brought it down most likely; nothing was signed")
	case token.Slow:
		return ui.Hinted(err, "does the token wait to be touched, or is its service down?")
	case token.NoToken, token.NoKey:
		return ui.Hinted(err, "attributes of the URI count to the letter; the fewer there are, the more it matches")
	case token.Tokens:
		return ui.Hinted(err, "add serial= or slot-id= to the URI")
	case token.Keys:
		return ui.Hinted(err, "add id= or object= to the URI")
	case token.NoPIN:
		return ui.Hinted(err, "give it with --pin-file, with pin-source in the URI, or in %s", PINEnv)
	case token.WrongPIN:
		return ui.Hinted(err, "it was tried once; tokens lock after a few wrong ones")
	case token.LockedPIN:
		return ui.Hinted(err, "whoever has the token's security officer PIN can set a new one")
	}
	if errors.Is(err, token.ErrNoCertificate) || errors.Is(err, token.ErrCertificates) {
		return ui.Hinted(err, "name one with --cert")
	}
	return err
}
