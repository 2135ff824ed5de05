package sign

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
)

// LeastOverhead is less than any message has beside its content, in bytes: the shortest
// is by an ECDSA key on P-256, names its signer by a key identifier, and holds no
// certificate. So what is longer than MaxLen less LeastOverhead is in no message.
const LeastOverhead = 110

// Parts of a message beside content, certificate, names and signature, in bytes: tags,
// lengths of three bytes each, versions, and the identifiers of content and algorithms.
const frame = 130

// Overhead returns how many bytes a message of [Content] has beside its content, at most:
// ECDSA signatures differ by some bytes. The certificate is that of the signer.
func Overhead(cert *x509.Certificate) int {
	n := frame + len(cert.Raw) + len(cert.RawIssuer) + len(cert.SerialNumber.Bytes()) + 1
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return n + key.Size()
	case *ecdsa.PublicKey:
		const wrap = 9 // a sequence of two numbers
		return n + wrap + 2*((key.Params().BitSize+7)/8)
	}
	return n
}
