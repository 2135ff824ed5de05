package sign_test

import (
	"bytes"
	"crypto"
	"fmt"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/ipe-linux/ipe/sign"
)

const text = "policy_name=p policy_version=1.0.0\nDEFAULT action=ALLOW\n"

var hashes = []struct {
	name string
	hash crypto.Hash
}{{"sha256", crypto.SHA256}, {"sha384", crypto.SHA384}, {"sha512", crypto.SHA512}}

// forEachCell runs f for each kind of key and hash, attached and detached.
func forEachCell(t *testing.T, f func(t *testing.T, id identity, digest string, opts sign.Options)) {
	for _, key := range keyNames {
		for _, h := range hashes {
			for _, detached := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/detached=%v", key, h.name, detached), func(t *testing.T) {
					t.Parallel()
					f(t, identities[key](), h.name, sign.Options{Hash: h.hash, Detached: detached})
				})
			}
		}
	}
}

// accept verifies der, detached or not, and returns the envelope.
func accept(t *testing.T, der []byte, ring *sign.Keyring, detached bool) *sign.Envelope {
	t.Helper()
	var e *sign.Envelope
	var err error
	if detached {
		e, err = sign.VerifyDetached(der, []byte(text), ring)
	} else {
		e, err = sign.Verify(der, ring)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !detached && string(e.Content) != text {
		t.Fatalf("content %q", e.Content)
	}
	return e
}

func TestPeerAcceptsOurs(t *testing.T) {
	forEachCell(t, func(t *testing.T, id identity, _ string, opts sign.Options) {
		der, err := sign.Content([]byte(text), id.cert, id.key, opts)
		if err != nil {
			t.Fatal(err)
		}
		e := accept(t, der, id.ring(), opts.Detached)
		if s := e.Signers[0]; s.DigestAlgorithm != opts.Hash || !s.Certificate.Equal(id.cert) || !s.Anchor.Equal(id.cert) {
			t.Errorf("signer %+v", s)
		}
		opensslAccepts(t, der, id, opts.Detached)
		smallstepAccepts(t, der, opts.Detached)
	})
}

func opensslAccepts(t *testing.T, der []byte, id identity, detached bool) {
	t.Helper()
	cert, _ := id.files(t)
	args := []string{"smime", "-verify", "-binary", "-inform", "der", "-in", write(t, "p7", der),
		"-CAfile", cert, "-purpose", "any"}
	if detached {
		args = append(args, "-content", write(t, "text", []byte(text)))
	}
	if got := openssl(t, args...); string(got) != text {
		t.Errorf("openssl took out %q", got)
	}
}

func smallstepAccepts(t *testing.T, der []byte, detached bool) {
	t.Helper()
	p7, err := pkcs7.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	if detached {
		p7.Content = []byte(text)
	}
	if err := p7.Verify(); err != nil {
		t.Errorf("smallstep: %v", err)
	}
}

func TestPeerIsAccepted(t *testing.T) {
	forms := map[string][]string{
		"smime -noattr":         {"smime", "-noattr", "-nosmimecap"},
		"smime -noattr -nocert": {"smime", "-noattr", "-nosmimecap", "-nocerts"},
		"smime":                 {"smime", "-nosmimecap"},
		"cms":                   {"cms", "-nosmimecap"},
		"cms -noattr":           {"cms", "-nosmimecap", "-noattr"},
		"cms -keyid":            {"cms", "-nosmimecap", "-keyid"},
		"cms -keyid -nocerts":   {"cms", "-nosmimecap", "-keyid", "-noattr", "-nocerts"},
	}
	forEachCell(t, func(t *testing.T, id identity, digest string, opts sign.Options) {
		for name, form := range forms {
			flags := append(form[1:len(form):len(form)], "-md", digest)
			if !opts.Detached {
				flags = append(flags, "-nodetach")
			}
			t.Run(name, func(t *testing.T) {
				e := accept(t, opensslSign(t, id, text, form[0], flags...), id.ring(), opts.Detached)
				if !e.Signers[0].Anchor.Equal(id.cert) {
					t.Errorf("anchor %v", e.Signers[0].Anchor)
				}
			})
		}
	})
}

// TestTamper flips bits of each byte of each form. Some bytes are outside of
// what a signature covers; whatever verifies must still hold the signed text.
func TestTamper(t *testing.T) {
	t.Parallel()
	id := identities["p256"]()
	for name, der := range map[string][]byte{
		"ours":       id.content(t, text),
		"attributes": opensslSign(t, id, text, "cms", "-nosmimecap", "-nodetach"),
		"no certs":   opensslSign(t, id, text, "smime", "-noattr", "-nocerts", "-nodetach"),
		"key id":     opensslSign(t, id, text, "cms", "-nosmimecap", "-keyid", "-nodetach"),
	} {
		refused := 0
		for i := range der {
			for _, mask := range []byte{0x01, 0x80, 0xff} {
				changed := bytes.Clone(der)
				changed[i] ^= mask
				e, err := sign.Verify(changed, id.ring())
				if err != nil {
					refused++
				} else if string(e.Content) != text {
					t.Fatalf("%s: byte %d ^ %#x gives content %q", name, i, mask, e.Content)
				}
			}
			if _, err := sign.Verify(der[:i], id.ring()); err == nil {
				t.Fatalf("%s: accepted when cut to %d bytes", name, i)
			}
		}
		if refused < len(der) {
			t.Errorf("%s: only %d changes refused", name, refused)
		}
	}
}
