package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/ownership"
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

// TestReadOwn: what others can change is skipped, and a path of such is refused; for
// people who ask about a message of their own it is not.
func TestReadOwn(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"good.der", "group.der"} {
		if err := os.WriteFile(filepath.Join(dir, name), certificate(t, int64(i+1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "group.der"): 0o664} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	ring, skipped, err := trust.ReadOwn(dir)
	var unsafe *ownership.Error
	if err != nil || len(ring.Certificates()) != 1 || len(skipped) != 1 || !errors.As(skipped[0], &unsafe) {
		t.Errorf("skipped %v, %v", skipped, err)
	}
	ring, skipped, err = trust.Read(dir)
	if err != nil || len(ring.Certificates()) != 2 || len(skipped) != 0 {
		t.Errorf("for people: skipped %v, %v", skipped, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "good.der")} {
		if _, _, err := trust.ReadOwn(path); !errors.As(err, &unsafe) || unsafe.Path != dir {
			t.Errorf("%s, in a directory of everybody: %v", path, err)
		}
	}
}
