package sign_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/sign"
)

// slack is by how much Overhead may be too large, in bytes: lengths that are written
// shorter, and what numbers of ECDSA signatures are shorter than their curve.
const slack = 40

// TestOverhead compares with messages as they are, of short and of long content.
func TestOverhead(t *testing.T) {
	for _, content := range []string{text, strings.Repeat("#", 60_000)} {
		forEachCell(t, func(t *testing.T, id identity, _ string, opts sign.Options) {
			if opts.Detached {
				return
			}
			der, err := sign.Content([]byte(content), id.cert, id.key, opts)
			if err != nil {
				t.Fatal(err)
			}
			got, bound := len(der)-len(content), sign.Overhead(id.cert)
			if got > bound || bound > got+slack || got < sign.LeastOverhead {
				t.Errorf("%d bytes beside the content of %d, at most %d were expected", got, len(content), bound)
			}
		})
	}
}

// TestLeastOverhead: no message that is here is shorter, those without certificate nor
// issuer among them.
func TestLeastOverhead(t *testing.T) {
	files, err := filepath.Glob("testdata/*.p7b")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		der, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(der, []byte("policy_name="))
		e, err := sign.Inspect(der)
		if err != nil {
			continue // p256-streamed.p7b is no DER
		}
		if n := len(der) - len(e.Content); i < 0 || n < sign.LeastOverhead {
			t.Errorf("%s: %d bytes beside the content", file, n)
		}
	}
	id := identities["p256"]()
	der := opensslSign(t, id, text, "cms", "-nocerts", "-noattr", "-keyid", "-md", "sha256")
	if n := len(der) - len(text); n < sign.LeastOverhead || n > sign.LeastOverhead+100 {
		t.Errorf("the shortest message has %d bytes beside its content", n)
	}
}
