package sign_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/ipe-linux/ipe/sign"
)

// readFixture reads a committed message or certificate.
func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixtureRing trusts the certificates that signed the committed messages.
func fixtureRing(t testing.TB) *sign.Keyring {
	t.Helper()
	certs, err := sign.ParseCertificates(readFixture(t, "certs.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return sign.NewKeyring(certs...)
}

// TestFixtures holds messages of OpenSSL 3.0 that must stay acceptable.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"rsa-noattr.p7b", "rsa-attrs.p7b", "p256-keyid.p7b", "p256-nocerts.p7b"} {
		e, err := sign.Verify(readFixture(t, name), fixtureRing(t))
		if err != nil || string(e.Content) != text {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// FuzzVerify: no panic, exactly one sentinel per refusal, and what we accept
// the second implementation can read, with the same content.
func FuzzVerify(f *testing.F) {
	ring := fixtureRing(f)
	files, err := filepath.Glob("testdata/*.p7b")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		f.Add(readFixture(f, filepath.Base(file)))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		e, err := sign.Verify(der, ring)
		if err != nil {
			checkOneSentinel(t, err)
			return
		}
		if string(e.Content) != text {
			t.Fatalf("forged content %q", e.Content)
		}
		p7, err := pkcs7.Parse(der)
		if err != nil || string(p7.Content) != string(e.Content) {
			t.Fatalf("second implementation: %v", err)
		}
	})
}

func checkOneSentinel(t *testing.T, err error) {
	matching := slices.DeleteFunc(slices.Clone(sentinels), func(s error) bool { return !errors.Is(err, s) })
	if len(matching) != 1 {
		t.Fatalf("error %q wraps %d sentinels", err, len(matching))
	}
}

// FuzzParseKey and FuzzParseCertificates: no panic, and either a result or an error.
func FuzzParseKey(f *testing.F) {
	f.Add([]byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, text, passphrase []byte) {
		if key, err := sign.ParseKey(text, passphrase); (key == nil) == (err == nil) {
			t.Fatalf("got %v, %v", key, err)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	f.Add(readFixture(f, "certs.pem"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if certs, err := sign.ParseCertificates(text); (len(certs) == 0) == (err == nil) {
			t.Fatalf("got %d, %v", len(certs), err)
		}
	})
}
