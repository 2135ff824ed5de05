//go:build linux && !guest

package keyring_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/errno"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

// otherwise are the messages about which trust in certificates answers otherwise than
// the kernel, with the answer; see the comment of package sign.
var otherwise = map[string]string{
	// digests that the kernel still takes, or takes as well
	"SHA-1": "ENOPKG", "SHA-1 with attributes": "ENOPKG", "SHA-224": "ENOPKG", "SHA3-256": "ENOPKG", "SHA3-512": "ENOPKG",
	// encodings other than DER, and content other than an octet string
	"indefinite lengths": "EBADMSG", "content's length in two bytes": "EBADMSG", "streamed": "EBADMSG",
	"content a printable string": "EBADMSG", "content a sequence": "EBADMSG", "content octets constructed": "EKEYREJECTED",
	// a signature that the key never made
	"signature changed": "EKEYREJECTED", "second signature broken": "EKEYREJECTED",
	// a curve that Go's parser of certificates does not know by name
	"stranger secp256k1 sha256": "EBADMSG", "stranger secp256k1 sha384": "EBADMSG", "stranger secp256k1 sha512": "EBADMSG",
	// the kernel finds fault with its form before it looks for signers
	"no signer": "EINVAL",
}

// TestCertificatesAnswerAsTheKernel puts the same messages to package sign, with the
// certificate that the kernel has in its platform keyring.
func TestCertificatesAnswerAsTheKernel(t *testing.T) {
	b := bench{t, t.TempDir()}
	data, err := os.ReadFile(b.platform().cert)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := sign.ParseCertificates(data)
	if err != nil {
		t.Fatal(err)
	}
	ring := sign.NewKeyring(certs...)
	for _, m := range messages(t) {
		want := m.want
		if w, ok := otherwise[m.name]; ok {
			want = w
		}
		e, err := sign.Verify(m.data, ring)
		if err == nil {
			_, err = policy.Parse(e.Content)
		}
		got := "OK"
		if err != nil {
			got = errno.Symbol(err)
		}
		if !slices.Contains(strings.Fields(want), got) {
			t.Errorf("%s: %s, want %s: %v", m.name, got, want, err)
		}
	}
}
