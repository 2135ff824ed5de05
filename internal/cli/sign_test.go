package cli_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
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

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// signer writes a key and its certificate, valid from and to some hours from now,
// into dir, which it returns with the paths.
func signer(t *testing.T, from, to int) (dir, key, cert string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := func(hours int) time.Time { return time.Now().Add(time.Duration(hours) * time.Hour) }
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotBefore: at(from), NotAfter: at(to)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	key, cert = filepath.Join(dir, "key"), filepath.Join(dir, "cert")
	for name, block := range map[string]*pem.Block{
		key: {Type: "PRIVATE KEY", Bytes: pkcs8}, cert: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, key, cert
}

// TestSignWarnsOfDates: dates do not keep anybody from signing, but are mentioned.
func TestSignWarnsOfDates(t *testing.T) {
	const text = "policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\n"
	for _, tt := range []struct {
		name     string
		from, to int
		want     string
	}{
		{"valid", -1, 1, ""},
		{"expired", -2, -1, "warning: the certificate expired on "},
		{"not yet valid", 1, 2, "warning: the certificate is not valid before "},
	} {
		dir, key, cert := signer(t, tt.from, tt.to)
		code, _, stderr := ipe([]byte(text), "policy", "sign", "--key", key, "--cert", cert, "-o", filepath.Join(dir, "out"), "-")
		if code != ui.ExitOK || (stderr == "") != (tt.want == "") || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, stderr %q; want %q", tt.name, code, stderr, tt.want)
		}
	}
}
