package controltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/sign"
)

// Signer signs policies with a key of its own.
type Signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewSigner makes a key and a certificate that bears the name.
func NewSigner(tb testing.TB, name string) *Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		SubjectKeyId: []byte(name), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &Signer{cert: cert, key: key}
}

// Keyring trusts this signer alone.
func (s *Signer) Keyring() *sign.Keyring { return sign.NewKeyring(s.cert) }

// Sign returns a signed message around text.
func (s *Signer) Sign(tb testing.TB, text string) []byte {
	tb.Helper()
	envelope, err := sign.Content([]byte(text), s.cert, s.key, sign.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return envelope
}
