package sign_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io"
	"testing"

	"github.com/ipe-linux/ipe/sign"
)

// liar is a key outside of the process that signs something else.
type liar struct{ crypto.Signer }

func (l liar) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	other := make([]byte, len(digest))
	return l.Signer.Sign(rand, other, opts)
}

func TestContentErrors(t *testing.T) {
	id, other := identities["p256"](), identities["p384"]()
	p224, rsa1280 := ecOf(elliptic.P224()), rsaOf(1280)
	tests := []struct {
		name    string
		content []byte
		cert    *x509.Certificate
		key     crypto.Signer
		opts    sign.Options
		want    error
	}{
		{"key of another", nil, id.cert, other.key, sign.Options{}, sign.ErrKeyMismatch},
		{"SHA-1", nil, id.cert, id.key, sign.Options{Hash: crypto.SHA1}, sign.ErrAlgorithm},
		{"P-224", nil, selfSigned("p224", p224).cert, p224, sign.Options{}, sign.ErrAlgorithm},
		{"RSA of a length that no kernel takes", nil, selfSigned("rsa1280", rsa1280).cert, rsa1280, sign.Options{}, sign.ErrAlgorithm},
		{"too long", make([]byte, sign.MaxLen), id.cert, id.key, sign.Options{}, sign.ErrTooLong},
		{"key that lies", []byte(text), id.cert, liar{id.key}, sign.Options{}, sign.ErrRejected},
	}
	for _, tt := range tests {
		der, err := sign.Content(tt.content, tt.cert, tt.key, tt.opts)
		if !errors.Is(err, tt.want) || der != nil {
			t.Errorf("%s: got %d bytes, %v; want %v", tt.name, len(der), err, tt.want)
		}
	}
	if _, err := sign.Content(nil, nil, nil, sign.Options{}); err == nil {
		t.Error("signed without key")
	}
}

func TestDetachedContentMayBeLong(t *testing.T) {
	id := identities["p256"]()
	if _, err := sign.Content(make([]byte, 1<<20), id.cert, id.key, sign.Options{Detached: true}); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"rsa2048", "p256"} {
		b.Run(name, func(b *testing.B) {
			id := identities[name]()
			der := id.content(b, text)
			b.SetBytes(int64(len(der)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sign.Verify(der, id.ring()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkContent(b *testing.B) {
	id := identities["p256"]()
	for b.Loop() {
		id.content(b, text)
	}
}
