package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/pkcs11uri"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/token"
)

const (
	// pinEnv is where the PIN of a token may be given.
	pinEnv = "IPE_PIN"
	// moduleEnv is where the token's module may be given, as for OpenSSL's engine.
	moduleEnv = "PKCS11_MODULE_PATH"
)

// tokenURI reads --key if it names a key on a token.
func (f *signFlags) tokenURI() (*pkcs11uri.URI, error) {
	u, err := pkcs11uri.Parse(f.key)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	if _, ok := u.Get(pkcs11uri.PINValue); ok {
		return nil, fmt.Errorf("--key: pin-value is refused: everybody on this machine can read command lines (use --pin-file, pin-source or %s)", pinEnv)
	}
	if f.pinFile != "" && u.PINFile() != "" {
		return nil, errors.New("--pin-file and pin-source exclude each other")
	}
	return u, nil
}

// tokenSigner finds a key on a token, and its certificate there if there is no
// --cert.
func (a *app) tokenSigner(ctx context.Context, f signFlags) (*signer, error) {
	u, err := f.tokenURI()
	if err != nil {
		return nil, err
	}
	var cert *x509.Certificate
	if f.cert != "" {
		if cert, err = a.certificate(f.cert); err != nil {
			return nil, err
		}
	}
	client, err := a.startToken(ctx)
	if err != nil {
		return nil, err
	}
	s := &signer{cert: cert, from: f.cert, onToken: true, close: func() { _ = client.Close() }} // what it did not do is told before
	if err := a.useToken(client, u, f, s); err != nil {
		s.close()
		return nil, tokenHint(fmt.Errorf("%v: %w", u, err))
	}
	return s, nil
}

func (a *app) startToken(ctx context.Context) (*token.Client, error) {
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

func (a *app) useToken(client *token.Client, u *pkcs11uri.URI, f signFlags, s *signer) error {
	module, ok := u.Get(pkcs11uri.ModulePath)
	if !ok {
		module = a.Getenv(moduleEnv)
	}
	if module == "" {
		return token.Errorf(token.Module, "no module is given")
	}
	t, err := client.Open(module, u)
	if err != nil {
		return err
	}
	pin := ""
	if t.Login {
		if pin, err = a.pin(f, u, t); err != nil {
			return err
		}
	}
	if err := client.Login(pin); err != nil {
		return err
	}
	key, err := client.Signer(s.cert)
	if err != nil {
		return err
	}
	s.key = key
	if s.cert == nil {
		s.from = u.String()
		s.cert, err = key.Certificate()
	}
	return err
}

// pin reads the PIN: from a file, else from the environment, else from whoever sits
// at the terminal.
func (a *app) pin(f signFlags, u *pkcs11uri.URI, t *token.Token) (string, error) {
	file := f.pinFile
	if file == "" {
		file = u.PINFile()
	}
	if file != "" {
		b, err := a.secretFile(file)
		return string(b), err
	}
	if pin := a.Getenv(pinEnv); pin != "" || !a.CanAsk() {
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
		return ui.Hinted(err, "give it with --pin-file, with pin-source in the URI, or in %s", pinEnv)
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
