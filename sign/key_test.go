package sign_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/sign"
)

// convert runs openssl over a key file and returns the PEM text it prints.
func convert(t *testing.T, keyFile string, args ...string) []byte {
	t.Helper()
	text, err := exec.Command("openssl", append(args, "-in", keyFile)...).Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return text
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	rsa, ec := identities["rsa2048"](), identities["p384"]()
	_, rsaFile := rsa.files(t)
	_, ecFile := ec.files(t)
	pkcs8 := func(args ...string) []byte {
		return convert(t, ecFile, append([]string{"pkcs8", "-topk8", "-passout", "pass:secret"}, args...)...)
	}
	tests := []struct {
		name string
		text []byte
		id   identity
	}{
		{"PKCS#8", convert(t, ecFile, "pkcs8", "-topk8", "-nocrypt"), ec},
		{"PKCS#1", convert(t, rsaFile, "rsa", "-traditional"), rsa},
		{"SEC 1", convert(t, ecFile, "ec"), ec},
		{"SEC 1 behind parameters", append([]byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"), convert(t, ecFile, "ec")...), ec},
		{"default encryption", pkcs8(), ec},
		{"AES-128", pkcs8("-v2", "aes-128-cbc"), ec},
		{"AES-192, SHA-512", pkcs8("-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512"), ec},
		{"AES-256, SHA-384", pkcs8("-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA384"), ec},
		{"triple DES, SHA-1", pkcs8("-v2", "des3", "-v2prf", "hmacWithSHA1"), ec},
		{"RSA in PKCS#8", convert(t, rsaFile, "pkcs8", "-topk8", "-passout", "pass:secret"), rsa},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := sign.ParseKey(tt.text, []byte("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sign.Content([]byte(text), tt.id.cert, key, sign.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseKeyErrors(t *testing.T) {
	t.Parallel()
	_, file := identities["p256"]().files(t)
	_, rsaFile := identities["rsa2048"]().files(t)
	encrypted := convert(t, file, "pkcs8", "-topk8", "-passout", "pass:secret")
	tests := []struct {
		name string
		text []byte
		want error
		hint string
	}{
		{"empty", nil, sign.ErrNoKey, "PEM"},
		{"certificate", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), sign.ErrNoKey, "PEM"},
		{"unknown block", pem.EncodeToMemory(&pem.Block{Type: "DSA PRIVATE KEY"}), sign.ErrNoKey, "DSA"},
		{"wrong passphrase", encrypted, sign.ErrPassphrase, ""},
		{"scrypt", convert(t, file, "pkcs8", "-topk8", "-scrypt", "-passout", "pass:x"), sign.ErrAlgorithm, "openssl pkcs8"},
		{"PBES1", convert(t, file, "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:x"), sign.ErrAlgorithm, "openssl pkcs8"},
		{"legacy", convert(t, rsaFile, "rsa", "-traditional", "-aes128", "-passout", "pass:x"), nil, "openssl pkcs8"},
		{"truncated", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30}}), sign.ErrMalformed, ""},
		{"damaged", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{0x30}}), nil, "parse private key: damaged"},
		{"damaged SEC 1", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte{0x30}}), nil, "parse private key: damaged"},
		{"damaged PKCS#1", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte{0x30}}), nil, "parse private key: damaged"},
	}
	if _, err := sign.ParseKey(encrypted, nil); !errors.Is(err, sign.ErrNoPassphrase) || errors.Is(err, sign.ErrPassphrase) {
		t.Errorf("no passphrase: %v, want ErrNoPassphrase alone", err)
	}
	if _, err := sign.ParseKey(convert(t, file, "pkcs8", "-topk8", "-passout", "pass:"), nil); err != nil {
		t.Errorf("encrypted with the empty passphrase: %v", err)
	}
	for _, tt := range tests {
		key, err := sign.ParseKey(tt.text, []byte("wrong"))
		if key != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.hint) {
			t.Errorf("%s: got %v, %v", tt.name, key, err)
		}
	}
}

func TestDamagedCertificate(t *testing.T) {
	cut := identities["p256"]().cert.Raw[:100]
	altered := slices.Clone(identities["p256"]().cert.Raw)
	altered[4+4+2+2] = 9 // the version
	for name, der := range map[string][]byte{"cut": cut, "altered": altered} {
		_, err := sign.ParseCertificates(der)
		if err == nil || !strings.HasPrefix(err.Error(), "parse certificates: a certificate is damaged, ") || strings.Contains(err.Error(), "x509: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseCertificates(t *testing.T) {
	a, b := identities["p256"]().cert, identities["p384"]().cert
	bundle := []byte("comment\n")
	for _, block := range []*pem.Block{
		{Type: "CERTIFICATE", Bytes: a.Raw}, {Type: "PUBLIC KEY", Bytes: []byte("x")}, {Type: "CERTIFICATE", Bytes: b.Raw},
	} {
		bundle = append(bundle, pem.EncodeToMemory(block)...)
	}
	for name, text := range map[string][]byte{
		"PEM": bundle, "PEM behind a zero": append([]byte("0 "), bundle...), "DER": append(append([]byte{}, a.Raw...), b.Raw...),
	} {
		certs, err := sign.ParseCertificates(text)
		if err != nil || len(certs) != 2 || !certs[0].Equal(a) || !certs[1].Equal(b) {
			t.Errorf("%s: got %d certificates, %v", name, len(certs), err)
		}
	}
	for _, text := range []string{"", "0", "text", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"} {
		if certs, err := sign.ParseCertificates([]byte(text)); err == nil || certs != nil {
			t.Errorf("%q: got %v, %v", text, certs, err)
		}
	}
}

func TestKeyringIsACopy(t *testing.T) {
	certs := []*x509.Certificate{identities["p256"]().cert}
	ring := sign.NewKeyring(certs...)
	certs[0] = nil
	ring.Certificates()[0] = nil
	if got := ring.Certificates(); len(got) != 1 || got[0] == nil {
		t.Errorf("got %v", got)
	}
}
