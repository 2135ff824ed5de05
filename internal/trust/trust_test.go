package trust_test

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
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/trust"
)

func certificate(t *testing.T, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "signer"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	a, b, c := certificate(t, 1), certificate(t, 2), certificate(t, 3)
	pemOf := func(der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for name, data := range map[string][]byte{
		"two.PEM": append(pemOf(a), pemOf(b)...), "one.der": c, "README": []byte("no certificate"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "sub.pem"), 0o755); err != nil {
		t.Fatal(err)
	}
	stray := t.TempDir()
	for name, data := range map[string][]byte{"good.der": c, "stray.pem": []byte("no certificate")} {
		if err := os.WriteFile(filepath.Join(stray, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		paths []string
		want  int
		fails bool
	}{
		{"directory", []string{dir}, 3, false},
		{"file", []string{filepath.Join(dir, "one.der")}, 1, false},
		{"both", []string{dir, filepath.Join(dir, "one.der")}, 4, false},
		{"nothing", nil, 0, false},
		{"empty directory", []string{t.TempDir()}, 0, false},
		{"stray file", []string{stray}, 1, false},
		{"missing", []string{filepath.Join(dir, "gone")}, 0, true},
		{"named file without certificate", []string{filepath.Join(dir, "README")}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring, skipped, err := trust.Read(tt.paths...)
			if (len(skipped) > 0) != (tt.name == "stray file") {
				t.Errorf("skipped %v", skipped)
			}
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want one: %v", err, tt.fails)
			}
			if got := len(ring.Certificates()); got != tt.want {
				t.Errorf("%d certificates, want %d", got, tt.want)
			}
		})
	}
}
