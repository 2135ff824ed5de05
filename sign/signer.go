package sign

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// signerInfo is one SignerInfo of RFC 5652, section 5.3. Its certificate is named
// by issuer and serial, or by keyID alone.
type signerInfo struct {
	issuer     []byte
	serial     *big.Int
	keyID      []byte
	hash       crypto.Hash
	kind       keyKind
	attributes *attributes
	bytes      []byte
}

func (m *message) readSigner(in *cryptobyte.String) (*signerInfo, error) {
	var info cryptobyte.String
	if !in.ReadASN1(&info, tag.SEQUENCE) {
		return nil, malformed("not a sequence")
	}
	s := &signerInfo{}
	if err := s.readName(&info, m.version); err != nil {
		return nil, err
	}
	if err := s.readSignature(&info, m); err != nil {
		return nil, err
	}
	// Unsigned attributes may hold anything, such as time stamps of third parties.
	if !info.SkipOptionalASN1(tag1) || !info.Empty() {
		return nil, malformed("bytes behind the signature")
	}
	return s, nil
}

// readName reads the version and what names the signer. The kernel ties them
// together: version 1 of message and signer with issuer and serial number,
// version 3 of both with a key id.
func (s *signerInfo) readName(in *cryptobyte.String, messageVersion int64) error {
	var version int64
	if !in.ReadASN1Integer(&version) {
		return malformed("version")
	}
	if version != 1 && version != 3 {
		return fmt.Errorf("version %d: %w", version, ErrUnsupportedForm)
	}
	if version != messageVersion {
		return malformed("version %d in a message of version %d", version, messageVersion)
	}
	if version == 3 {
		if !in.ReadASN1Bytes(&s.keyID, tag0Primitive) || len(s.keyID) == 0 {
			return malformed("subject key identifier")
		}
		return nil
	}
	return s.readIssuerAndSerial(in)
}

func (s *signerInfo) readIssuerAndSerial(in *cryptobyte.String) (err error) {
	var pair, issuer cryptobyte.String
	if !in.ReadASN1(&pair, tag.SEQUENCE) || !pair.ReadASN1Element(&issuer, tag.SEQUENCE) {
		return malformed("issuer")
	}
	s.issuer = issuer
	if s.serial, err = readSerial(&pair); err != nil {
		return err
	}
	if !pair.Empty() {
		return malformed("bytes behind the serial number")
	}
	return nil
}

func (s *signerInfo) readSignature(in *cryptobyte.String, m *message) error {
	oid, err := readAlgorithm(in)
	if err != nil {
		return err
	}
	if s.hash, err = hashOf(oid); err != nil {
		return err
	}
	if s.attributes, err = m.readAttributes(in); err != nil {
		return err
	}
	if oid, err = readAlgorithm(in); err != nil {
		return err
	}
	if s.kind, err = keyKindOf(oid); err != nil {
		return err
	}
	if !in.ReadASN1Bytes(&s.bytes, tag.OCTET_STRING) {
		return malformed("signature")
	}
	return nil
}

// names reports whether c has the signer's issuer and serial number.
func (s *signerInfo) names(c *x509.Certificate) bool {
	return s.serial != nil && bytes.Equal(c.RawIssuer, s.issuer) && c.SerialNumber.Cmp(s.serial) == 0
}

// over returns the signer's signature on content, of which signed attributes
// must hold the digest.
func (s *signerInfo) over(content []byte) (*signature, error) {
	digest := sum(s.hash, content)
	if s.attributes != nil {
		if !bytes.Equal(digest, s.attributes.messageDigest) {
			return nil, fmt.Errorf("message digest attribute does not match the content: %w", ErrRejected)
		}
		digest = sum(s.hash, s.attributes.set)
	}
	return &signature{kind: s.kind, hash: s.hash, digest: digest, bytes: s.bytes}, nil
}

// export returns what callers see of the signer.
func (s *signerInfo) export(cert *x509.Certificate) Signer {
	exported := Signer{
		Issuer: nameText(s.issuer), Serial: s.serial, KeyID: s.keyID,
		DigestAlgorithm: s.hash, SignatureAlgorithm: signatureAlgorithm(s.kind, s.hash),
		Certificate: cert,
	}
	if s.attributes != nil {
		exported.SignedAttributes, exported.SigningTime = s.attributes.types, s.attributes.signingTime
	}
	return exported
}

// String names the signer in errors.
func (s *signerInfo) String() string {
	if s.serial == nil {
		return fmt.Sprintf("signer with key id %x", s.keyID)
	}
	return fmt.Sprintf("signer with issuer %q and serial number %x", nameText(s.issuer), s.serial)
}

func nameText(der []byte) string {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdns); err != nil || len(rest) > 0 {
		return ""
	}
	return rdns.String()
}
