// Package sign makes and checks the messages that carry policies: PKCS#7 (CMS)
// SignedData around arbitrary content. It knows nothing of policies, opens no
// file and asks no clock.
//
// [Content] signs. [Verify] decides as the kernel's IPE does
// (crypto/asymmetric_keys, certs/system_keyring.c), which is not how a browser
// would decide:
//
//   - a signer is trusted if its certificate is in the [Keyring], or was signed,
//     directly or through certificates in the message, by one that is; or if the
//     message has no certificate and the keyring holds the signer's;
//   - issuers are found by their key identifiers, not by their names;
//   - no date is compared with the present one, no key usage and no name is
//     looked at;
//   - one trusted signer is enough, but a wrong signature by a known key fails
//     the whole message;
//   - bytes behind the message's end are ignored.
//
// Two things are stricter than the kernel. Messages must be DER, and their content an
// octet string: the kernel's decoder also takes indefinite lengths, which streaming
// signers write, and any string. And of digests only SHA-256, SHA-384 and SHA-512
// count. Where both refuse, the reason differs if a signature is none that the key
// ever made: [ErrRejected] here, EINVAL or EBADMSG in the kernel, as chance has it.
//
// [Detach] is for what the kernel itself verifies.
//
// Every refusal wraps exactly one of the sentinels below. Each stands for one
// errno of the kernel's interface, which this package does not name.
//
// Stability: this is version 0. Messages that Verify takes today are taken by later versions,
// but for algorithms that turn out to be broken; sentinels keep their meanings. Names of this
// package may still change.
package sign

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"time"
)

// MaxLen is the greatest length of a message in bytes. The kernel's ASN.1
// decoder refuses longer input, so a longer policy could never be loaded there.
const MaxLen = 65535

var (
	// ErrMalformed: the bytes are not a well-formed message.
	ErrMalformed = errors.New("malformed message")
	// ErrTooLong: the message is longer than MaxLen.
	ErrTooLong = errors.New("message too long")
	// ErrUnsupportedForm: well-formed, but not a SignedData of a supported
	// version, or of other content than data, or without signers, or with signed attributes for some signers only.
	ErrUnsupportedForm = errors.New("unsupported form of message")
	// ErrRejected: a signature, digest or time is wrong, or the content is Authenticode's.
	ErrRejected = errors.New("signature rejected")
	// ErrAlgorithm: a digest or public-key algorithm is not supported.
	ErrAlgorithm = errors.New("unsupported algorithm")
	// ErrUntrusted: the signatures are good, but the keyring vouches for none.
	ErrUntrusted = errors.New("signer not trusted")
	// ErrNoContent: a trusted signer signed nothing at all.
	ErrNoContent = errors.New("no content")
	// ErrKeyMismatch: the private key is not the certificate's.
	ErrKeyMismatch = errors.New("private key does not belong to the certificate")
)

// Envelope is a signed message taken apart.
type Envelope struct {
	// Content is what was signed; nil for a detached message.
	Content []byte
	// Signers are in the order of the message; there is at least one.
	Signers []Signer
	// Certificates are all those in the message, in its order.
	Certificates []*x509.Certificate
	// SHA256 is the digest of the whole message with whatever follows it: what
	// the kernel's records call the policy digest.
	SHA256 [32]byte
	// Refused is why no kernel takes the message, whoever signed it: a signed
	// attribute that spoils it. It wraps ErrRejected, and is nil except after Inspect.
	Refused error
}

// Signer is one signature of a message.
type Signer struct {
	// Issuer (in RFC 2253 form) and Serial name the signer's certificate; both
	// are empty if KeyID does.
	Issuer string
	Serial *big.Int
	// KeyID is the subject key identifier of the signer's certificate, if the
	// message names it that way.
	KeyID []byte
	// DigestAlgorithm is the hash of the content.
	DigestAlgorithm crypto.Hash
	// SignatureAlgorithm joins it with the kind of key.
	SignatureAlgorithm x509.SignatureAlgorithm
	// SignedAttributes are the types of the attributes that the signature covers
	// together with the content, in their order; nil if there are none.
	SignedAttributes []asn1.ObjectIdentifier
	// SigningTime is what the signed attributes say; zero if they say nothing.
	SigningTime time.Time
	// Certificate is the signer's if the message holds it, otherwise nil.
	Certificate *x509.Certificate
	// Anchor is the keyring's certificate that vouches for the signer; nil if
	// none does, and always after Inspect.
	Anchor *x509.Certificate
}
