package token

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Signer is a key on a token.
type Signer struct {
	client *Client
	public crypto.PublicKey
	certs  []*x509.Certificate
}

// errPublic is of a public key from the token.
var errPublic = errors.New("the token's public key is damaged, or of a kind that kernels do not take")

// Signer looks for the key. Login comes before. A certificate, or nil, tells what the
// public key is where the token does not; without both, it wraps ErrNoCertificate.
func (c *Client) Signer(cert *x509.Certificate) (*Signer, error) {
	r, err := c.ask(Request{Op: OpKey})
	if err != nil {
		return nil, fmt.Errorf("find key: %w", err)
	}
	if r.Key == nil {
		return nil, fmt.Errorf("find key: %w", errLine)
	}
	s := &Signer{client: c}
	switch {
	case len(r.Key.Public) > 0:
		if s.public, err = x509.ParsePKIXPublicKey(r.Key.Public); err != nil {
			return nil, fmt.Errorf("find key: %w: %s", errPublic, strings.TrimPrefix(err.Error(), "x509: "))
		}
	case cert != nil:
		s.public = cert.PublicKey
	default:
		return nil, fmt.Errorf("find key: %w", ErrNoCertificate)
	}
	for _, der := range r.Key.Certificates {
		// What cannot be read is no certificate of this key.
		if cert, err := x509.ParseCertificate(der); err == nil {
			s.certs = append(s.certs, cert)
		}
	}
	return s, nil
}

// Public returns the public key.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Errors of Certificate.
var (
	ErrNoCertificate = errors.New("the token has no certificate of this key")
	ErrCertificates  = errors.New("the token has several certificates of this key")
)

// Certificate returns the one certificate of the key that lies beside it.
func (s *Signer) Certificate() (*x509.Certificate, error) {
	var found *x509.Certificate
	for _, cert := range s.certs {
		switch k, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); {
		case !ok || !k.Equal(s.public):
		case found != nil && !bytes.Equal(found.Raw, cert.Raw):
			return nil, ErrCertificates
		default:
			found = cert
		}
	}
	if found == nil {
		return nil, ErrNoCertificate
	}
	return found, nil
}

// hashNames are what requests call the hashes that tokens sign.
var hashNames = map[crypto.Hash]string{crypto.SHA256: "sha256", crypto.SHA384: "sha384", crypto.SHA512: "sha512"}

// Sign has the token sign a digest: by PKCS#1 v1.5 with an RSA key, by ECDSA in
// ASN.1 otherwise.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	name, ok := hashNames[opts.HashFunc()]
	switch _, pss := opts.(*rsa.PSSOptions); {
	case !ok || pss:
		return nil, Errorf(Unsupported, "sign: hash or padding that is not for tokens")
	case len(digest) != opts.HashFunc().Size():
		return nil, Errorf(Unsupported, "sign: digest of %d bytes, %s has %d", len(digest), name, opts.HashFunc().Size())
	}
	r, err := s.client.ask(Request{Op: OpSign, Hash: name, Digest: digest})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return r.Signature, nil
}
