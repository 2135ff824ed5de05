package sign

import (
	"crypto"
	"crypto/dsa" //nolint:staticcheck // to name what is refused
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // makes SHA-256 available to crypto.Hash
	_ "crypto/sha512" // makes SHA-384 and SHA-512 available to crypto.Hash
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// keyKind is the kind of public key that a signature needs.
type keyKind uint8

const (
	noKey keyKind = iota
	rsaKey
	ecdsaKey
)

// Object identifiers of RFC 5652 and RFC 5754.
var (
	oidData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	// Authenticode's
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}

	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSASHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSASHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSASHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
)

// digestAlgorithms is the table of hashes; per row the identifier of the hash,
// that of ECDSA with it, and the names of both signature algorithms.
var digestAlgorithms = []struct {
	hash       crypto.Hash
	oid, ecdsa asn1.ObjectIdentifier
	withRSA    x509.SignatureAlgorithm
	withECDSA  x509.SignatureAlgorithm
}{
	{crypto.SHA256, oidSHA256, oidECDSASHA256, x509.SHA256WithRSA, x509.ECDSAWithSHA256},
	{crypto.SHA384, oidSHA384, oidECDSASHA384, x509.SHA384WithRSA, x509.ECDSAWithSHA384},
	{crypto.SHA512, oidSHA512, oidECDSASHA512, x509.SHA512WithRSA, x509.ECDSAWithSHA512},
}

func hashOf(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	for _, a := range digestAlgorithms {
		if a.oid.Equal(oid) {
			return a.hash, nil
		}
	}
	return 0, fmt.Errorf("digest %v (known are SHA-256, SHA-384 and SHA-512): %w", oid, ErrAlgorithm)
}

// keyKindOf reads a signature algorithm. For RSA the kernel knows
// rsaEncryption only; the hash that an ECDSA identifier names besides is
// ignored there as it is here, for the digest algorithm says it already.
func keyKindOf(oid asn1.ObjectIdentifier) (keyKind, error) {
	if oid.Equal(oidRSA) {
		return rsaKey, nil
	}
	for _, a := range digestAlgorithms {
		if a.ecdsa.Equal(oid) {
			return ecdsaKey, nil
		}
	}
	return noKey, fmt.Errorf("signature algorithm %v (known are rsaEncryption and ECDSA with SHA-2): %w", oid, ErrAlgorithm)
}

// kindOfPublicKey fails for keys that the kernel has no X.509 support for.
func kindOfPublicKey(pub crypto.PublicKey) (keyKind, error) {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return rsaKey, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return ecdsaKey, nil
		}
		return noKey, fmt.Errorf("curve %s (kernels take P-256, P-384 and P-521): %w", k.Params().Name, ErrAlgorithm)
	}
	return noKey, fmt.Errorf("%s key (kernels take RSA and ECDSA): %w", kindName(pub), ErrAlgorithm)
}

// kindName is what people call the kind of a key.
func kindName(key any) string {
	switch key.(type) {
	case ed25519.PublicKey, ed25519.PrivateKey:
		return "Ed25519"
	case *ecdh.PublicKey, *ecdh.PrivateKey:
		return "X25519 or other ECDH"
	case *dsa.PublicKey:
		return "DSA"
	}
	return fmt.Sprintf("%T", key)
}

// checkLength refuses RSA keys of a length that no kernel takes (crypto/rsa.c): it
// counts whole bytes, and knows these only.
func checkLength(pub crypto.PublicKey) error {
	k, ok := pub.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	switch 8 * k.Size() {
	case 1024, 1536, 2048, 3072, 4096:
		return nil
	}
	return fmt.Errorf("RSA key of %d bits (kernels take 2048, 3072 and 4096, and the weak 1024 and 1536): %w", k.N.BitLen(), ErrAlgorithm)
}

func signatureAlgorithm(kind keyKind, hash crypto.Hash) x509.SignatureAlgorithm {
	for _, a := range digestAlgorithms {
		switch {
		case a.hash == hash && kind == rsaKey:
			return a.withRSA
		case a.hash == hash && kind == ecdsaKey:
			return a.withECDSA
		}
	}
	return x509.UnknownSignatureAlgorithm
}

// signature is a signature with all that is needed to check it but the key.
type signature struct {
	kind   keyKind
	hash   crypto.Hash
	digest []byte
	bytes  []byte
}

var errBadSignature = errors.New("signature does not match")

// check wraps ErrRejected if pub did not make the signature.
func (s *signature) check(pub crypto.PublicKey) error {
	kind, err := kindOfPublicKey(pub)
	if err != nil {
		return err
	}
	if err := checkLength(pub); err != nil {
		return err // before a key of any size makes us compute
	}
	if kind != s.kind {
		return fmt.Errorf("key is of another kind than the signature: %w", ErrRejected)
	}
	if !s.matches(pub) {
		return fmt.Errorf("%w: %w", errBadSignature, ErrRejected)
	}
	return nil
}

func (s *signature) matches(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, s.hash, s.digest, s.bytes) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, s.digest, s.bytes)
	}
	return false
}

// signatureOn returns the signature that a certificate carries. It fails with
// ErrAlgorithm for one that this package cannot check.
func signatureOn(cert *x509.Certificate) (*signature, error) {
	for _, a := range digestAlgorithms {
		var kind keyKind
		switch cert.SignatureAlgorithm {
		case a.withRSA:
			kind = rsaKey
		case a.withECDSA:
			kind = ecdsaKey
		default:
			continue
		}
		digest := sum(a.hash, cert.RawTBSCertificate)
		return &signature{kind: kind, hash: a.hash, digest: digest, bytes: cert.Signature}, nil
	}
	return nil, fmt.Errorf("certificate signed with %v: %w", cert.SignatureAlgorithm, ErrAlgorithm)
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}
