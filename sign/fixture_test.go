package sign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/sign"
)

// identity is a key with its certificate.
type identity struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func (id identity) ring() *sign.Keyring { return sign.NewKeyring(id.cert) }

// content signs with the defaults.
func (id identity) content(t testing.TB, content string) []byte {
	t.Helper()
	der, err := sign.Content([]byte(content), id.cert, id.key, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// files writes certificate and key as PEM and returns their paths.
func (id identity) files(t testing.TB) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		t.Fatal(err)
	}
	cert = write(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw}))
	return cert, write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyNames are those of the matrix.
var keyNames = []string{"rsa2048", "rsa4096", "p256", "p384", "p521"}

// identities are made once, for RSA keys take a second.
var identities = map[string]func() identity{
	"rsa2048": sync.OnceValue(func() identity { return selfSigned("rsa2048", rsaOf(2048)) }),
	"rsa4096": sync.OnceValue(func() identity { return selfSigned("rsa4096", rsaOf(4096)) }),
	"p256":    sync.OnceValue(func() identity { return selfSigned("p256", ecOf(elliptic.P256())) }),
	"p384":    sync.OnceValue(func() identity { return selfSigned("p384", ecOf(elliptic.P384())) }),
	"p521":    sync.OnceValue(func() identity { return selfSigned("p521", ecOf(elliptic.P521())) }),
}

func rsaOf(bits int) crypto.Signer {
	return must(rsa.GenerateKey(rand.Reader, bits))
}

func ecOf(c elliptic.Curve) crypto.Signer {
	return must(ecdsa.GenerateKey(c, rand.Reader))
}

func selfSigned(name string, key crypto.Signer) identity {
	return issue(name, key, nil)
}

// issue makes a certificate signed by issuer, or by itself for nil.
func issue(name string, key crypto.Signer, issuer *identity, edit ...func(*x509.Certificate)) identity {
	template := &x509.Certificate{
		SerialNumber:          must(rand.Int(rand.Reader, big.NewInt(1<<62))),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, f := range edit {
		f(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return identity{key, must(x509.ParseCertificate(der))}
}

// must is for fixtures, whose failure is a fault of the machine.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openssl runs the program, which these tests require, and returns its output file.
func openssl(t testing.TB, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if text, err := exec.Command("openssl", append(args, "-out", out)...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// opensslSign signs text with id in DER by an openssl subcommand.
func opensslSign(t testing.TB, id identity, text, subcommand string, flags ...string) []byte {
	t.Helper()
	cert, key := id.files(t)
	args := []string{subcommand, "-sign", "-binary", "-in", write(t, "text", []byte(text)),
		"-signer", cert, "-inkey", key, "-outform", "der"}
	return openssl(t, append(args, flags...)...)
}
