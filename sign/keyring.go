package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Keyring is a set of trusted certificates. It does not change once made, and
// a nil Keyring trusts nobody.
type Keyring struct {
	certs []*x509.Certificate
}

// NewKeyring returns the set of certs. Each is an anchor by itself, whether it
// calls itself an authority or not.
func NewKeyring(certs ...*x509.Certificate) *Keyring {
	return &Keyring{certs: slices.Clone(certs)}
}

// Certificates returns a copy of the set.
func (r *Keyring) Certificates() []*x509.Certificate {
	if r == nil {
		return nil
	}
	return slices.Clone(r.certs)
}

// find returns the first certificate for which match holds, or nil.
func (r *Keyring) find(match func(*x509.Certificate) bool) *x509.Certificate {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.certs, match); i >= 0 {
		return r.certs[i]
	}
	return nil
}

// vouch returns the anchor that makes a signer trusted. The keyring's own copy
// of a certificate must verify what is below it, so that a certificate that
// merely bears a trusted one's names gains nothing. Errors wrap ErrUntrusted if
// there is no anchor, ErrRejected if there is one whose signature is wrong.
func (r *Keyring) vouch(s *signedBy) (*x509.Certificate, error) {
	sig := s.sig
	for _, cert := range s.chain {
		if anchor := r.copyOf(cert); anchor != nil {
			return anchor, sig.check(anchor.PublicKey)
		}
		if isSelfSigned(cert) {
			return nil, ErrUntrusted
		}
		var err error
		if sig, err = signatureOn(cert); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
	}
	if anchor := r.issuerOf(s.chain); anchor != nil {
		return anchor, sig.check(anchor.PublicKey)
	}
	if anchor := r.find(s.info.isNamedIn); anchor != nil {
		return anchor, s.sig.check(anchor.PublicKey)
	}
	return nil, ErrUntrusted
}

// copyOf finds a certificate of the same issuer and serial number and, if c has
// one, the same key id.
func (r *Keyring) copyOf(c *x509.Certificate) *x509.Certificate {
	return r.find(func(t *x509.Certificate) bool {
		return bytes.Equal(t.RawIssuer, c.RawIssuer) && t.SerialNumber.Cmp(c.SerialNumber) == 0 &&
			(len(c.SubjectKeyId) == 0 || bytes.Equal(t.SubjectKeyId, c.SubjectKeyId))
	})
}

// issuerOf finds the certificate that signed the top of a chain.
func (r *Keyring) issuerOf(chain []*x509.Certificate) *x509.Certificate {
	if len(chain) == 0 {
		return nil
	}
	return issuerAmong(chain[len(chain)-1], r.Certificates())
}

// isNamedIn reports whether c is the signer's certificate by either kind of name.
func (s *signerInfo) isNamedIn(c *x509.Certificate) bool {
	if s.serial == nil {
		return bytes.Equal(c.SubjectKeyId, s.keyID)
	}
	return s.names(c)
}

const pemCertificate = "CERTIFICATE"

// ErrNoCertificate: the bytes hold no certificate.
var ErrNoCertificate = errors.New("no certificate found (expected is PEM with BEGIN CERTIFICATE, or DER)")

// errCertificate is of what claims to be a certificate.
var errCertificate = errors.New("a certificate is damaged, or not of the form that certificates have (openssl x509 -in CERT -noout -text says more)")

// unreadable puts what the decoder says, in its own words, behind what that means.
func unreadable(err error) error {
	return fmt.Errorf("%w: %s", errCertificate, strings.TrimPrefix(err.Error(), "x509: "))
}

// ParseCertificates reads all certificates of a PEM bundle, in which other
// blocks and text are skipped, or of one or more DER certificates in a row. At
// least one must be there.
func ParseCertificates(pemOrDER []byte) ([]*x509.Certificate, error) {
	der, err := derOf(pemOrDER)
	if err != nil {
		return nil, fmt.Errorf("parse certificates: %w", err)
	}
	certs, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificates: %w", unreadable(err))
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("parse certificates: %w", ErrNoCertificate)
	}
	return certs, nil
}

// derOf joins the certificate blocks of PEM text; DER is returned as it is.
func derOf(pemOrDER []byte) ([]byte, error) {
	const sequence = 0x30 // the first byte of any DER certificate; in text it is the digit 0
	if len(pemOrDER) > 0 && pemOrDER[0] == sequence && !bytes.Contains(pemOrDER, []byte("-----BEGIN")) {
		return pemOrDER, nil
	}
	var der []byte
	found := ErrNoCertificate
	for block, rest := pem.Decode(pemOrDER); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == pemCertificate {
			der = append(der, block.Bytes...)
		}
		if strings.HasSuffix(block.Type, pemKey) {
			found = fmt.Errorf("%w: this is a private key", ErrNoCertificate)
		}
	}
	if der == nil {
		return nil, found
	}
	return der, nil
}
