// Package clitest is what tests of several rooms of ipe need: command lines that run, keys
// that sign, and an iped without a kernel.
package clitest

import (
	"bytes"
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

	"github.com/ipe-linux/ipe/internal/cli"
)

// Policy is a text of which no command complains.
const Policy = "policy_name=p policy_version=1.0.0\nDEFAULT action=DENY\n"

// Run runs one command line.
func Run(stdin []byte, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = cli.Main(args, bytes.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// Signer writes a key and its certificate, valid from and to some hours from now,
// into dir, which it returns with the paths.
func Signer(t *testing.T, from, to int) (dir, key, cert string) {
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
