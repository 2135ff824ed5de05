package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/author/pkcs11uri"
)

// program writes a shell script that stands for ipe-pkcs11 where the real one would
// have to be broken; the real one is tested in cmd/ipe.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), Program)
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func start(t *testing.T, script string, environ ...string) *Client {
	t.Helper()
	c, err := Start(t.Context(), program(t, script), environ)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestAnswers holds what a program may answer instead of what it should.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		kind   Kind
		want   string
	}{
		"nothing":       {"read q; exit 0", Died, "ended without an answer"},
		"no JSON":       {"read q; echo hello; read q", Died, "not the object that is expected"},
		"unknown field": {`read q; echo '{"token":{},"x":1}'; read q`, Died, "not the object that is expected"},
		"two objects":   {`read q; echo '{}{}'; read q`, Died, "not the object that is expected"},
		"too much":      {`read q; head -c 2000000 /dev/zero; read q`, Died, "longer than"},
		"another":       {`read q; echo '{"signature":"AAAA"}'; read q`, "", "not the object that is expected"},
		"an error":      {`read q; echo '{"error":{"kind":"tokens","text":"two\u001b[2J"}}'; read q`, Tokens, "two?[2J"},
		"does not read": {"exit 3", Died, "exit status 3"},
		"complains":     {"echo first >&2; printf 'last \\033[2J 4711\\n' >&2; exit 3", Died, "(last ?[2J [PIN])"},
		"silence":       {"read q; exec sleep 60", Slow, "no answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			client := start(t, c.script)
			client.pin = "4711"
			client.patience = 20 * time.Second
			if c.kind == Slow {
				client.patience = 200 * time.Millisecond
			}
			_, err := client.Open("/m.so", mustURI(t, "pkcs11:token=a"))
			if err == nil || KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v of kind %q, want %s of %q", err, KindOf(err), c.want, c.kind)
			}
			if c.kind != Died && c.kind != Slow {
				return
			}
			if again := client.Login("4711"); KindOf(again) != c.kind {
				t.Errorf("afterwards: %v", again)
			}
		})
	}
}

func mustURI(t *testing.T, text string) *pkcs11uri.URI {
	t.Helper()
	u, err := pkcs11uri.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestDamagedPublicKey: what the decoder says comes behind what that means.
func TestDamagedPublicKey(t *testing.T) {
	_, err := start(t, `read q; echo '{"key":{"public":"MAA="}}'; read q`).Signer(nil)
	if err == nil || !strings.HasPrefix(err.Error(), "find key: the token's public key is damaged") || strings.Contains(err.Error(), "x509: ") {
		t.Error(err)
	}
}

// TestSecretsStay: the program sees neither ipe's secrets in its environment, nor the
// PIN of a URI; the PIN comes with login.
func TestSecretsStay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seen")
	c := start(t, "env >"+file+"; echo \"$@\" >>"+file+"; while read q; do echo \"$q\" >>"+file+"; echo '{\"token\":{\"label\":\"a\",\"login\":true,\"last_try\":false}}'; done",
		"IPE_PIN=s3cret", "IPE_KEY_PASSPHRASE=s3cret", "KEEP=this")
	if _, err := c.Open("/m.so", mustURI(t, "pkcs11:token=a?pin-value=s3cret")); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(seen), "s3cret") || !strings.Contains(string(seen), "KEEP=this") {
		t.Errorf("the program sees\n%s", seen)
	}
	if err := c.Login("0815"); err != nil {
		t.Fatal(err)
	}
	if seen, err = os.ReadFile(file); err != nil || !strings.Contains(string(seen), `{"op":"login","pin":"0815"}`) {
		t.Errorf("%v: the program sees\n%s", err, seen)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestInterrupted: the program ends with the context.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Start(ctx, program(t, "read q; exec sleep 60"), nil)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := c.Open("/m.so", mustURI(t, "pkcs11:")); KindOf(err) != Died || !strings.Contains(err.Error(), "killed") {
		t.Error(err)
	}
}

// TestFind: beside the executable first, then in libexec, and nowhere else.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "bin", "ipe")
	t.Setenv("PATH", filepath.Dir(program(t, "")))
	if _, err := Find(self); !errors.Is(err, ErrNoProgram) {
		t.Errorf("error %v", err)
	}
	for _, place := range []string{"libexec/ipe", "bin"} {
		if err := os.MkdirAll(filepath.Join(dir, place), 0o755); err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(dir, place, Program)
		if err := os.WriteFile(want, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := Find(self); got != want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// TestSignerRefuses what a token would sign, but no kernel takes, without asking.
func TestSignerRefuses(t *testing.T) {
	s := &Signer{} // without a program, asking would panic
	for name, c := range map[string]struct {
		size int
		opts crypto.SignerOpts
	}{
		"hash":    {20, crypto.SHA1},
		"no hash": {32, crypto.Hash(0)},
		"padding": {32, &rsa.PSSOptions{Hash: crypto.SHA256}},
		"length":  {31, crypto.SHA256},
	} {
		if _, err := s.Sign(rand.Reader, make([]byte, c.size), c.opts); KindOf(err) != Unsupported {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestCertificate: one, and one that is of the key.
func TestCertificate(t *testing.T) {
	make1 := func(key *ecdsa.PrivateKey, serial int64) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	ours, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := make1(ours, 1), make1(ours, 2), make1(other, 3)
	for _, x := range []struct {
		certs []*x509.Certificate
		want  *x509.Certificate
		err   error
	}{
		{nil, nil, ErrNoCertificate},
		{[]*x509.Certificate{c}, nil, ErrNoCertificate},
		{[]*x509.Certificate{c, a, a}, a, nil},
		{[]*x509.Certificate{a, b}, nil, ErrCertificates},
	} {
		s := &Signer{public: ours.Public(), certs: x.certs}
		if got, err := s.Certificate(); got != x.want || !errors.Is(err, x.err) {
			t.Errorf("%d certificates: %v, %v", len(x.certs), got, err)
		}
	}
}

// FuzzLines: what is read is written and read again as it was, and no error quotes it.
func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"op":"login","pin":"s3cret"}` + "\n" + `{"op":"sign","hash":"sha256","digest":"AAAA"}`))
	f.Add([]byte(`{"pin":"s3cret}`))
	f.Add([]byte("\n\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := NewLines(bytes.NewReader(text))
		for {
			var q Request
			err := lines.Next(&q)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error quotes: %v", err)
				}
				return
			}
			var b bytes.Buffer
			if err := WriteLine(&b, q); err != nil {
				return // as JSON it may be longer
			}
			var again Request
			if err := NewLines(&b).Next(&again); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			if len(q.Digest) == 0 {
				q.Digest = nil // which JSON does not tell from empty
			}
			if diff := cmp.Diff(q, again); diff != "" {
				t.Error(diff)
			}
		}
	})
}
