package keys_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// TestWordsOfKeys: what is given in the wrong place, or of a kind that no kernel takes, is
// named.
func TestWordsOfKeys(t *testing.T) {
	dir, key, cert := clitest.Signer(t, -1, 1)
	text := filepath.Join(dir, "p")
	if err := os.WriteFile(text, []byte(clitest.Policy), 0o600); err != nil {
		t.Fatal(err)
	}
	edKey, edCert := ed25519Signer(t)
	for _, tt := range []struct{ name, key, cert, want string }{
		{"certificate as key", cert, cert, "no private key found (PEM is expected: PKCS#8, PKCS#1 or SEC 1): this is a certificate"},
		{"key as certificate", key, key, "no certificate found (expected is PEM with BEGIN CERTIFICATE, or DER): this is a private key"},
		{"Ed25519", edKey, edCert, "Ed25519 key (kernels take RSA and ECDSA): unsupported algorithm"},
	} {
		code, _, stderr := clitest.Run(nil, "policy", "sign", "--key", tt.key, "--cert", tt.cert, text)
		if code != ui.ExitRefused || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, %s", tt.name, code, stderr)
		}
	}
	for _, wrong := range []string{key, cert} {
		if _, _, stderr := clitest.Run(nil, "policy", "sign", "--key", wrong, "--cert", wrong, text); !strings.Contains(stderr, "hint: --key wants the private key") {
			t.Error(stderr)
		}
	}
}

func ed25519Signer(t *testing.T) (key, cert string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ed"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key, cert = filepath.Join(dir, "key"), filepath.Join(dir, "cert")
	for name, block := range map[string]*pem.Block{key: {Type: "PRIVATE KEY", Bytes: pkcs8}, cert: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, cert
}
