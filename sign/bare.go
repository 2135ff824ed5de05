package sign

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// signBare writes a message without certificates, byte for byte as PKCS7_sign(3) of
// OpenSSL does with PKCS7_NOCERTS and PKCS7_NOATTR, and so as fsverity(1) does. The
// library behind signContent always encloses the certificate.
func signBare(content []byte, cert *x509.Certificate, key crypto.Signer, digest, encryption asn1.ObjectIdentifier, opts Options) ([]byte, error) {
	signature, err := key.Sign(rand.Reader, sum(opts.hash(), content), opts.hash())
	if err != nil {
		return nil, err
	}
	_, withRSA := cert.PublicKey.(*rsa.PublicKey)
	b := cryptobyte.NewBuilder(nil)
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(tag.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, digest, true) })
				addContent(b, content, opts.Detached)
				b.AddASN1(tag.SET, func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) {
						b.AddASN1Int64(1)
						addIssuerAndSerial(b, cert.RawIssuer, cert.SerialNumber)
						addAlgorithm(b, digest, true)
						addAlgorithm(b, encryption, withRSA)
						b.AddASN1OctetString(signature)
					})
				})
			})
		})
	})
	return b.Bytes()
}

func sequence(b *cryptobyte.Builder, content cryptobyte.BuilderContinuation) {
	b.AddASN1(tag.SEQUENCE, content)
}

// addAlgorithm writes an AlgorithmIdentifier. RFC 3370 and RFC 5754 want a NULL for RSA,
// none for ECDSA, and take both for hashes, where OpenSSL writes one.
func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, null bool) {
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if null {
			b.AddASN1NULL()
		}
	})
}

func addContent(b *cryptobyte.Builder, content []byte, detached bool) {
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidData)
		if !detached {
			b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
		}
	})
}

func addIssuerAndSerial(b *cryptobyte.Builder, issuer []byte, serial *big.Int) {
	sequence(b, func(b *cryptobyte.Builder) {
		b.AddBytes(issuer)
		b.AddASN1BigInt(serial)
	})
}
