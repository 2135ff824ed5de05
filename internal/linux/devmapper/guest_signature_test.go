//go:build linux && guest

package devmapper_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// stranger makes a key and a certificate that no kernel knows.
func stranger(t *testing.T) (key, cert string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, cert = t.TempDir()+"/key", t.TempDir()+"/cert"
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return key, cert
}

// keysOf are the lines of /proc/keys about signatures of ours.
func keysOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "ipe:") {
			ours.WriteString(line)
		}
	}
	return ours.String()
}

func TestGuestSignatures(t *testing.T) {
	r := source(t)
	v, other := plainVolume(t, r, 8), plainVolume(t, r, 8)
	sign := func(v *volume, key, cert string) string {
		out := t.TempDir() + "/p7s"
		run(t, "dmverity", "sign", "--key", key, "--cert", cert, "-o", out, v.root)
		return out
	}
	good := sign(v, "/keys/platform.key", "/keys/platform.pem")
	run(t, v.ours("v", "--root-hash-signature", good)...)
	same(t, "v", v.content)
	if !status(t, "v").Signed {
		t.Error("not signed")
	}
	sameStatus(t, "v")
	if out := run(t, "dmverity", "status"); out != "v  verified  signed  sha256:"+v.root+"\n" {
		t.Errorf("list: %s", out)
	}
	run(t, "dmverity", "close", "v")
	veritysetup(t, v.open("v", "--root-hash-signature="+good)...)
	if !status(t, "v").Signed {
		t.Error("not signed, opened by veritysetup")
	}
	run(t, "dmverity", "close", "v")

	refused(t, "the signature is not one of this root hash", v.ours("v", "--root-hash-signature", sign(other, "/keys/platform.key", "/keys/platform.pem"))...)
	key, cert := stranger(t)
	refused(t, "the kernel does not know who signed", v.ours("v", "--root-hash-signature", sign(v, key, cert))...)
	garbage := t.TempDir() + "/garbage"
	write(t, garbage, []byte("no signature"))
	refused(t, "the kernel cannot read the signature", v.ours("v", "--root-hash-signature", garbage)...)
	write(t, garbage, make([]byte, 32768))
	refused(t, "signature of 32768 bytes", v.ours("v", "--root-hash-signature", garbage)...)
	write(t, garbage, nil)
	refused(t, "the signature is empty", v.ours("v", "--root-hash-signature", garbage)...)
	if left := keysOf(t); left != "" {
		t.Errorf("keys are left:\n%s", left)
	}
}
