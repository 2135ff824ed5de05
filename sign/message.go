package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// Implicit and explicit tags of RFC 5652, sections 3 and 5.
var (
	tag0          = tag.Tag(0).Constructed().ContextSpecific()
	tag1          = tag.Tag(1).Constructed().ContextSpecific()
	tag0Primitive = tag.Tag(0).ContextSpecific()
)

// message is a parsed SignedData.
type message struct {
	version     int64
	contentType asn1.ObjectIdentifier
	content     []byte
	hasContent  bool
	certs       []*x509.Certificate
	signers     []*signerInfo
	// tolerant reads on behind signed attributes that spoil a message, whose
	// fault is then kept in refused.
	tolerant bool
	refused  error
}

// parse reads b in the order of its bytes, as the kernel does, so that the first
// fault decides the error. What follows the outer SEQUENCE is not looked at.
func parse(b []byte) (*message, error) { return parseInto(&message{}, b) }

func parseInto(m *message, b []byte) (*message, error) {
	if len(b) > MaxLen {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), MaxLen, ErrTooLong)
	}
	in, outer := cryptobyte.String(b), cryptobyte.String(nil)
	if !in.ReadASN1(&outer, tag.SEQUENCE) {
		return nil, noSequence(b)
	}
	var oid asn1.ObjectIdentifier
	if !outer.ReadASN1ObjectIdentifier(&oid) {
		return nil, malformed("type of message")
	}
	if !oid.Equal(oidSignedData) {
		return nil, fmt.Errorf("message type %v is not SignedData: %w", oid, ErrUnsupportedForm)
	}
	var explicit, data cryptobyte.String
	if !outer.ReadASN1(&explicit, tag0) || !outer.Empty() ||
		!explicit.ReadASN1(&data, tag.SEQUENCE) || !explicit.Empty() {
		return nil, malformed("signed data")
	}
	return m.readSignedData(data)
}

// noSequence says why b does not begin with a message.
func noSequence(b []byte) error {
	switch {
	case len(b) == 0:
		return malformed("empty file")
	case bytes.HasPrefix(b, []byte("-----BEGIN ")):
		return fmt.Errorf("PEM text where DER is expected: %w", ErrMalformed)
	case b[0] == byte(tag.SEQUENCE) && announced(b) > len(b):
		return malformed("truncated: %d bytes of %d", len(b), announced(b))
	}
	return malformed("outer sequence (expected is DER with definite lengths; not PEM, not streamed)")
}

// maxLengthBytes is how many bytes of a length are looked at; two hold MaxLen.
const maxLengthBytes = 3

// announced is the length that the header of a DER element gives to all of it, as
// far as b holds that header; 0 if the length is indefinite or beyond all reason.
func announced(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	size := 2 + int(b[1])
	if b[1] < 0x80 {
		return size
	}
	n := int(b[1] & 0x7f)
	if n == 0 || n > maxLengthBytes {
		return 0
	}
	size = 2 + n
	if len(b) < size {
		return size
	}
	length := 0
	for _, c := range b[2:size] {
		length = length<<8 | int(c)
	}
	return size + length
}

func (m *message) readSignedData(in cryptobyte.String) (*message, error) {
	for _, step := range []func(*cryptobyte.String) error{
		m.readVersion, readDigestAlgorithms, m.readContent, m.readCertificates, readCRLs, m.readSigners,
	} {
		if err := step(&in); err != nil {
			return nil, err
		}
	}
	if !in.Empty() {
		return nil, malformed("bytes behind the signers")
	}
	return m, m.checkAttributesConsistent()
}

// readVersion takes 1 (PKCS#7) and 3 (CMS, for signers named by key id).
func (m *message) readVersion(in *cryptobyte.String) error {
	if !in.ReadASN1Integer(&m.version) {
		return malformed("version")
	}
	if m.version != 1 && m.version != 3 {
		return fmt.Errorf("version %d: %w", m.version, ErrUnsupportedForm)
	}
	return nil
}

// readDigestAlgorithms checks the form only: each signer names its digest again.
func readDigestAlgorithms(in *cryptobyte.String) error {
	var set cryptobyte.String
	if !in.ReadASN1(&set, tag.SET) {
		return malformed("digest algorithms")
	}
	for !set.Empty() {
		if _, err := readAlgorithm(&set); err != nil {
			return err
		}
	}
	return nil
}

func (m *message) readContent(in *cryptobyte.String) error {
	var info, explicit cryptobyte.String
	if !in.ReadASN1(&info, tag.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&m.contentType) ||
		!info.ReadOptionalASN1(&explicit, &m.hasContent, tag0) || !info.Empty() {
		return malformed("content")
	}
	if !m.contentType.Equal(oidData) && !m.contentType.Equal(oidIndirectData) {
		return fmt.Errorf("content type %v is not pkcs7-data: %w", m.contentType, ErrUnsupportedForm)
	}
	if !m.hasContent {
		return nil
	}
	var kind tag.Tag
	var octets cryptobyte.String
	if !explicit.ReadAnyASN1(&octets, &kind) || !explicit.Empty() {
		return malformed("content")
	}
	switch {
	case kind == tag.OCTET_STRING.Constructed():
		return fmt.Errorf("content is in pieces (sign it without -stream): %w", ErrRejected)
	case kind != tag.OCTET_STRING && m.contentType.Equal(oidData):
		return malformed("content is not an octet string")
	}
	m.content = append([]byte{}, octets...)
	return nil
}

func (m *message) readCertificates(in *cryptobyte.String) error {
	var set cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&set, &present, tag0) {
		return malformed("certificates")
	}
	for !set.Empty() {
		cert, err := readCertificate(&set)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", len(m.certs)+1, err)
		}
		m.certs = append(m.certs, cert)
	}
	return nil
}

// readCertificate fails with ErrAlgorithm for keys that the kernel does not
// know: there, such a certificate spoils its message even if nobody needs it.
func readCertificate(in *cryptobyte.String) (*x509.Certificate, error) {
	var der cryptobyte.String
	if !in.ReadASN1Element(&der, tag.SEQUENCE) {
		return nil, malformed("not a sequence")
	}
	cert, err := x509.ParseCertificate(append([]byte{}, der...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, unreadable(err))
	}
	if _, err := kindOfPublicKey(cert.PublicKey); err != nil {
		return nil, err
	}
	return cert, nil
}

func readCRLs(in *cryptobyte.String) error {
	if !in.SkipOptionalASN1(tag1) {
		return malformed("revocation lists")
	}
	return nil
}

func (m *message) readSigners(in *cryptobyte.String) error {
	var set cryptobyte.String
	if !in.ReadASN1(&set, tag.SET) {
		return malformed("signers")
	}
	for !set.Empty() {
		s, err := m.readSigner(&set)
		if err != nil {
			return fmt.Errorf("signer %d: %w", len(m.signers)+1, err)
		}
		m.signers = append(m.signers, s)
	}
	return nil
}

func (m *message) checkAttributesConsistent() error {
	if len(m.signers) == 0 {
		return fmt.Errorf("no signer: %w", ErrUnsupportedForm)
	}
	for _, s := range m.signers[1:] {
		if (s.attributes == nil) != (m.signers[0].attributes == nil) {
			return fmt.Errorf("some signers have signed attributes and some have none: %w", ErrUnsupportedForm)
		}
	}
	return nil
}

// certificateOf returns the certificate in the message that belongs to the
// signer, or nil. As in the kernel, a signer named by key id has none here.
func (m *message) certificateOf(s *signerInfo) *x509.Certificate {
	for _, c := range m.certs {
		kind, err := kindOfPublicKey(c.PublicKey)
		if err == nil && kind == s.kind && s.names(c) {
			return c
		}
	}
	return nil
}

// readAlgorithm reads an AlgorithmIdentifier. Its parameters are ignored: no
// algorithm in use here has any.
func readAlgorithm(in *cryptobyte.String) (asn1.ObjectIdentifier, error) {
	var id, parameters cryptobyte.String
	var kind tag.Tag
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&id, tag.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) {
		return nil, malformed("algorithm")
	}
	if !id.Empty() && (!id.ReadAnyASN1(&parameters, &kind) || !id.Empty()) {
		return nil, malformed("parameters of algorithm %v", oid)
	}
	return oid, nil
}

func readSerial(in *cryptobyte.String) (*big.Int, error) {
	serial := new(big.Int)
	if !in.ReadASN1Integer(serial) {
		return nil, malformed("serial number")
	}
	return serial, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrMalformed)
}
