//go:build linux && !guest

package keyring_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/sign"
)

// text is what the messages say, unless they say so otherwise.
const text = "policy_name=p policy_version=1.0.0\nDEFAULT action=ALLOW\n"

// message is one message with what the kernel's IPE answers (one of several words,
// where chance decides), and where a kernel of 6.1 answers otherwise, for it has other
// algorithms, that.
type message struct {
	name string
	data []byte
	want string
	old  string
}

// bench makes messages, most of them by OpenSSL.
type bench struct {
	t   *testing.T
	dir string
}

// signer is a certificate and a key, by the names of their files.
type signer struct{ cert, key string }

func (b bench) openssl(stdin []byte, args ...string) []byte {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), "openssl", args...)
	cmd.Dir, cmd.Stdin = b.dir, bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// platform is the signer whom the guest's firmware vouches for.
func (b bench) platform() signer {
	cert, key, err := vm.PlatformKey(b.t.Context(), b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	return signer{cert, key}
}

// stranger makes a signer whom nobody knows; kind is as in openssl req -newkey.
func (b bench) stranger(name string, kind ...string) signer {
	s := signer{filepath.Join(b.dir, name+".pem"), filepath.Join(b.dir, name+".key")}
	args := append([]string{"req", "-x509", "-nodes", "-subj", "/CN=" + name, "-keyout", s.key, "-out", s.cert, "-newkey"}, kind...)
	b.openssl(nil, args...)
	return s
}

// issued makes a signer whose certificate another one signed.
func (b bench) issued(name string, by signer) signer {
	s := signer{filepath.Join(b.dir, name+".pem"), filepath.Join(b.dir, name+".key")}
	b.openssl(nil, "req", "-new", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN="+name, "-keyout", s.key, "-out", s.cert+".csr")
	ext := filepath.Join(b.dir, "ext")
	if err := os.WriteFile(ext, []byte("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:TRUE\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.openssl(nil, "x509", "-req", "-in", s.cert+".csr", "-CA", by.cert, "-CAkey", by.key, "-set_serial", "77", "-extfile", ext, "-out", s.cert)
	return s
}

// past makes a signer whose certificate was valid long ago, signed by another one.
func (b bench) past(name string, by signer) signer {
	s := b.issued(name, by)
	parent, key := b.certificate(by), b.privateKey(by)
	own := b.certificate(s)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(78), Subject: pkix.Name{CommonName: name}, SubjectKeyId: own.SubjectKeyId,
		AuthorityKeyId: parent.SubjectKeyId,
		NotBefore:      time.Unix(0, 0), NotAfter: time.Unix(1<<30, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, own.PublicKey, key)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(s.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b bench) certificate(s signer) *x509.Certificate {
	b.t.Helper()
	data, err := os.ReadFile(s.cert)
	if err != nil {
		b.t.Fatal(err)
	}
	certs, err := sign.ParseCertificates(data)
	if err != nil {
		b.t.Fatal(err)
	}
	return certs[0]
}

func (b bench) privateKey(s signer) any {
	b.t.Helper()
	data, err := os.ReadFile(s.key)
	if err != nil {
		b.t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

// smime signs text as IPE's documents say, with further flags.
func (b bench) smime(s signer, flags ...string) []byte {
	b.t.Helper()
	return b.openssl([]byte(text), append([]string{"smime", "-sign", "-signer", s.cert, "-inkey", s.key, "-binary", "-outform", "der"}, flags...)...)
}

// cms signs content.
func (b bench) cms(s signer, content string, flags ...string) []byte {
	b.t.Helper()
	return b.openssl([]byte(content), append([]string{"cms", "-sign", "-signer", s.cert, "-inkey", s.key, "-binary", "-outform", "der"}, flags...)...)
}

// changed returns data with the last bit of a byte that follows mark turned.
func changed(t *testing.T, data []byte, mark string, behind int) []byte {
	t.Helper()
	return turned(t, data, mark, behind, 1)
}

// turned returns data with bits of a byte that follows mark turned.
func turned(t *testing.T, data []byte, mark string, behind int, bits byte) []byte {
	t.Helper()
	i := bytes.LastIndex(data, []byte(mark))
	if i < 0 {
		t.Fatalf("no %q in the message", mark)
	}
	data = bytes.Clone(data)
	data[i+len(mark)+behind] ^= bits
	return data
}

// swapped returns data with every old replaced.
func swapped(t *testing.T, data []byte, old, with string) []byte {
	t.Helper()
	if len(old) != len(with) || !bytes.Contains(data, []byte(old)) {
		t.Fatalf("no %x in the message", old)
	}
	return bytes.ReplaceAll(data, []byte(old), []byte(with))
}
