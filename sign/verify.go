package sign

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// Verify returns what the message contains if a signer that ring trusts signed
// it. Checks come in the kernel's order: form, content type, signatures by
// certificates in the message, trust, presence of content. So a detached
// message is ErrRejected, and ErrNoContent only if nothing is what was signed.
// Content that is present but empty is returned empty, without error.
func Verify(envelope []byte, ring *Keyring) (*Envelope, error) {
	m, err := parse(envelope)
	if err != nil {
		return nil, fmt.Errorf("verify envelope: %w", err)
	}
	e, err := m.verify(envelope, ring)
	switch {
	case err != nil && !m.hasContent:
		return nil, fmt.Errorf("verify envelope: message is detached, it must have its content attached: %w", err)
	case err != nil:
		return nil, fmt.Errorf("verify envelope: %w", err)
	case !m.hasContent:
		return nil, fmt.Errorf("verify envelope: trusted signature over nothing: %w", ErrNoContent)
	}
	return e, nil
}

// VerifyDetached is Verify for a message that holds no content of its own, such
// as the signature of a dm-verity root hash or of a formatted fs-verity digest.
// One that does hold content is ErrMalformed, as in the kernel.
func VerifyDetached(envelope, content []byte, ring *Keyring) (*Envelope, error) {
	m, err := parse(envelope)
	if err != nil {
		return nil, fmt.Errorf("verify detached signature: %w", err)
	}
	if m.hasContent {
		return nil, fmt.Errorf("verify detached signature: %w", malformed("message has its own content"))
	}
	m.content = content
	e, err := m.verify(envelope, ring)
	if err != nil {
		return nil, fmt.Errorf("verify detached signature: %w", err)
	}
	return e, nil
}

// Inspect takes a message apart without checking a single signature: nothing in
// the result may be believed. Signed attributes that spoil a message for the kernel
// are no error here but are told in Refused.
func Inspect(envelope []byte) (*Envelope, error) {
	m, err := parseInto(&message{tolerant: true}, envelope)
	if err != nil {
		return nil, fmt.Errorf("inspect envelope: %w", err)
	}
	return m.export(envelope), nil
}

func (m *message) export(envelope []byte) *Envelope {
	e := &Envelope{Certificates: m.certs, SHA256: sha256.Sum256(envelope), Refused: m.refused}
	if m.hasContent {
		e.Content = m.content
	}
	for _, s := range m.signers {
		e.Signers = append(e.Signers, s.export(m.certificateOf(s)))
	}
	return e
}

func (m *message) verify(envelope []byte, ring *Keyring) (*Envelope, error) {
	if !m.contentType.Equal(oidData) {
		return nil, fmt.Errorf("content is of Authenticode: %w", ErrRejected)
	}
	if err := checkSelfSigned(m.certs); err != nil {
		return nil, err
	}
	signed := make([]*signedBy, len(m.signers))
	for i, s := range m.signers {
		var err error
		if signed[i], err = m.verifySigner(s); err != nil {
			return nil, fmt.Errorf("%v: %w", s, err)
		}
	}
	e := m.export(envelope)
	return e, trust(e, signed, ring)
}

// signedBy is a signer whose own certificates hold together; whether anybody
// trusts them is the next question.
type signedBy struct {
	info *signerInfo
	sig  *signature
	// chain begins with the signer's certificate; empty if the message lacks it.
	chain []*x509.Certificate
}

// verifySigner checks a signature as far as the message itself holds the keys.
func (m *message) verifySigner(s *signerInfo) (*signedBy, error) {
	sig, err := s.over(m.content)
	if err != nil {
		return nil, err
	}
	cert := m.certificateOf(s)
	if cert == nil {
		return &signedBy{info: s, sig: sig}, nil
	}
	if err := s.checkTime(cert); err != nil {
		return nil, err
	}
	if err := sig.check(cert.PublicKey); err != nil {
		return nil, err
	}
	chain, err := chainOf(cert, m.certs)
	if err != nil {
		return nil, err
	}
	return &signedBy{info: s, sig: sig, chain: chain}, nil
}

func (s *signerInfo) checkTime(cert *x509.Certificate) error {
	if s.attributes == nil || s.attributes.signingTime.IsZero() {
		return nil
	}
	t := s.attributes.signingTime
	if t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
		return fmt.Errorf("signing time %s is outside of the certificate's validity: %w", t.UTC().Format("2006-01-02T15:04:05Z"), ErrRejected)
	}
	return nil
}

// trust asks ring about each signer and notes the anchors. One trusted signer is
// enough, but no signer may be known to ring and have a wrong signature.
func trust(e *Envelope, signed []*signedBy, ring *Keyring) error {
	trusted := false
	for i, s := range signed {
		anchor, err := ring.vouch(s)
		switch {
		case err == nil:
			e.Signers[i].Anchor, trusted = anchor, true
		case !errors.Is(err, ErrUntrusted):
			return fmt.Errorf("%v: %w", s.info, err)
		}
	}
	if !trusted {
		return fmt.Errorf("%v: no trusted certificate is its own or its issuer's (add one to the trusted certificates): %w",
			signed[0].info, ErrUntrusted)
	}
	return nil
}
