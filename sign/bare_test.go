package sign_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"errors"
	"os/exec"
	"regexp"
	"testing"

	"github.com/ipe-linux/ipe/sign"
)

// lengths are what differs in the lines of asn1parse(1) if signatures have other lengths.
var lengths = regexp.MustCompile(`(?m)^ *\d+:|l= *\d+|\[HEX DUMP\]:[0-9A-F]{64,}`)

// TestPeerWithoutCertificate compares messages without a certificate with those of
// openssl-smime(1), which are PKCS7_sign(3)'s: by their bytes where signatures are always
// the same, otherwise by their structure.
func TestPeerWithoutCertificate(t *testing.T) {
	for _, name := range keyNames {
		for md, hash := range map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512} {
			for _, detached := range []bool{true, false} {
				id := identities[name]()
				ours, err := sign.Content([]byte(text), id.cert, id.key, sign.Options{Hash: hash, Detached: detached, NoCertificate: true})
				if err != nil {
					t.Fatal(name, md, err)
				}
				flags := []string{"-noattr", "-nocerts", "-md", md}
				if !detached {
					flags = append(flags, "-nodetach")
				}
				theirs := opensslSign(t, id, text, "smime", flags...)
				got, want := ours, theirs
				if _, isRSA := id.key.(*rsa.PrivateKey); !isRSA {
					got, want = structure(t, ours), structure(t, theirs)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s, %s, detached %v: got\n%swant\n%s", name, md, detached, structure(t, ours), structure(t, theirs))
				}
				if e := accept(t, ours, id.ring(), detached); len(e.Certificates) != 0 {
					t.Errorf("%s: %d certificates", name, len(e.Certificates))
				}
			}
		}
	}
}

func structure(t *testing.T, der []byte) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", "asn1parse", "-inform", "der", "-in", write(t, "m", der)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return lengths.ReplaceAll(out, nil)
}

// TestNoCertificateNeedsTheSigners: what was left out must be known to who verifies, and
// one that vouches for the signer is not enough.
func TestNoCertificateNeedsTheSigners(t *testing.T) {
	ca, other := identities["p256"](), identities["p384"]()
	leaf := issue("leaf", other.key, &ca)
	der := must(sign.Content([]byte("x"), leaf.cert, leaf.key, sign.Options{NoCertificate: true}))
	if _, err := sign.Verify(der, leaf.ring()); err != nil {
		t.Error(err)
	}
	if _, err := sign.Verify(der, ca.ring()); !errors.Is(err, sign.ErrUntrusted) {
		t.Errorf("by the issuer's certificate: %v", err)
	}
}
