package sign

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// isSelfSigned reports whether a certificate claims to have signed itself.
func isSelfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) &&
		(len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

// checkSelfSigned refuses certificates whose signature by themselves is wrong.
func checkSelfSigned(certs []*x509.Certificate) error {
	for _, c := range certs {
		if !isSelfSigned(c) {
			continue
		}
		if err := checkSignedBy(c, c); err != nil && !errors.Is(err, ErrAlgorithm) {
			return err
		}
	}
	return nil
}

// checkSignedBy checks the signature that child carries with issuer's key.
func checkSignedBy(child, issuer *x509.Certificate) error {
	sig, err := signatureOn(child)
	if err != nil {
		return err
	}
	if err := sig.check(issuer.PublicKey); err != nil {
		return fmt.Errorf("certificate %q: %w", child.Subject, err)
	}
	return nil
}

// chainOf follows authority key ids from leaf through certs and checks each
// link. The chain ends at a self-signed certificate, where the issuer is not
// among certs, where a loop would begin, or at a signature of unknown algorithm:
// what is below may be trusted still.
func chainOf(leaf *x509.Certificate, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{leaf}
	for {
		last := chain[len(chain)-1]
		issuer := issuerAmong(last, certs)
		if isSelfSigned(last) || issuer == nil || slices.Contains(chain, issuer) {
			return chain, nil
		}
		err := checkSignedBy(last, issuer)
		if errors.Is(err, ErrAlgorithm) {
			return chain, nil
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, issuer)
	}
}

func issuerAmong(c *x509.Certificate, certs []*x509.Certificate) *x509.Certificate {
	for _, p := range certs {
		if len(c.AuthorityKeyId) > 0 && bytes.Equal(p.SubjectKeyId, c.AuthorityKeyId) {
			return p
		}
	}
	return nil
}
