//go:build guest

package fsioctl_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/sign"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

func itoa(n int) string { return strconv.Itoa(n) }

type signer struct {
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

func newSigner(t *testing.T, name string) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{cert, key}
}

// sign makes the built-in signature of a file.
func (s signer) sign(t *testing.T, content []byte, p fsverity.Params) []byte {
	t.Helper()
	d, err := fsverity.FileDigest(t.Context(), bytes.NewReader(content), int64(len(content)), p, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	formatted, err := fsverity.FormattedDigest(d)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := sign.Content(formatted, s.cert, s.key, sign.Options{Hash: crypto.SHA256, Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// trust puts the certificate into the keyring .fs-verity.
func (s signer) trust(t *testing.T) {
	t.Helper()
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(keys)) {
		if !strings.Contains(line, " .fs-verity: ") {
			continue
		}
		var id int
		if _, err := fmt.Sscanf(line, "%x", &id); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.AddKey("asymmetric", "", s.cert.Raw, id); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no keyring .fs-verity")
}

func requireSignatures(t *testing.T, yes string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/fs/verity/require_signatures", []byte(yes), 0); err != nil {
		t.Fatal(err)
	}
}

// TestKernelJudgesSignatures: good ones are kept, others refused with the reason.
func TestKernelJudgesSignatures(t *testing.T) {
	at := ext4(t, 4096, 16, "verity")
	content := []byte("signed content\n")
	name := func(s string) string { return filepath.Join(at, s) }
	params := fsverity.Params{Algorithm: "sha512", Salt: []byte("salt")}
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	signature := ours.sign(t, content, params)

	f := file(t, name("signed"), content)
	refused(t, f, params, signature, refusal{kind: fsioctl.ErrKey, is: unix.ENOKEY, hint: "keyctl padd", blind: true})
	ours.trust(t)
	refused(t, f, params, other.sign(t, content, params), refusal{kind: fsioctl.ErrKey, is: unix.ENOKEY, blind: true})
	refused(t, f, params, ours.sign(t, []byte("another"), params), refusal{kind: fsioctl.ErrSignature, is: unix.EKEYREJECTED, hint: "ipe fsverity sign", blind: true})
	refused(t, f, fsverity.Params{}, signature, refusal{kind: fsioctl.ErrSignature, is: unix.EKEYREJECTED, hint: "--hash-alg", blind: true})
	refused(t, f, params, []byte("no message"), refusal{kind: fsioctl.ErrSignature, is: unix.EBADMSG, hint: "make it with", blind: true})
	refused(t, f, params, make([]byte, fsioctl.MaxSignature+1), refusal{kind: fsioctl.ErrSignature, is: unix.EMSGSIZE})

	requireSignatures(t, "1")
	defer requireSignatures(t, "0")
	refused(t, f, params, nil, refusal{kind: fsioctl.ErrSignatureNeeded, is: unix.EPERM, hint: "--signature"})
	if err := fsioctl.Enable(f, params, signature); err != nil {
		t.Fatal(err)
	}
	sameAsComputed(t, f, content, params)
	if got, err := fsioctl.ReadSignature(f); err != nil || !bytes.Equal(got, signature) {
		t.Errorf("signature %x, %v, want %x", got, err, signature)
	}

	// The same signature by fsverity(1).
	if err := os.WriteFile("/tmp/signature", signature, 0o600); err != nil {
		t.Fatal(err)
	}
	f = file(t, name("peer"), content)
	run(t, "fsverity", "enable", f.Name(), "--hash-alg=sha512", "--salt=73616c74", "--signature=/tmp/signature")
	if got, err := fsioctl.ReadSignature(f); err != nil || !bytes.Equal(got, signature) {
		t.Errorf("signature %x, %v, want %x", got, err, signature)
	}
}
