package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/ipe-linux/ipe/sign"
)

// sentinels are all errors that Verify may wrap.
var sentinels = []error{
	sign.ErrMalformed, sign.ErrTooLong, sign.ErrUnsupportedForm, sign.ErrRejected,
	sign.ErrAlgorithm, sign.ErrUntrusted, sign.ErrNoContent,
}

// checkError demands that err wraps want and no other sentinel.
func checkError(t *testing.T, err, want error) {
	t.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Fatalf("got error %q, want only %q", err, want)
		}
	}
}

// replaced returns der with the first occurrence of old (in hex) replaced.
func replaced(t *testing.T, der []byte, old, with string) []byte {
	t.Helper()
	o, w := must(hex.DecodeString(old)), must(hex.DecodeString(with))
	if len(o) != len(w) || !bytes.Contains(der, o) {
		t.Fatalf("no %s in message", old)
	}
	return bytes.Replace(der, o, w, 1)
}

// replacedLast does so with the last occurrence.
func replacedLast(t *testing.T, der []byte, old, with string) []byte {
	t.Helper()
	i := bytes.LastIndex(der, must(hex.DecodeString(old)))
	if i < 0 {
		t.Fatalf("no %s in message", old)
	}
	return append(bytes.Clone(der[:i]), replaced(t, der[i:], old, with)...)
}

const (
	derSHA256 = "0609608648016503040201"
	derSHA224 = "0609608648016503040204"
	derRSA    = "06092a864886f70d010101"
	derRSA256 = "06092a864886f70d01010b"
	derData   = "06092a864886f70d010701"
	derTST    = "06092a864886f70d010702"
)

func TestVerifyErrors(t *testing.T) {
	t.Parallel()
	id, other := identities["rsa2048"](), identities["p256"]()
	good := id.content(t, text)
	attrs := opensslSign(t, id, text, "smime", "-nodetach", "-nosmimecap")
	detached := must(sign.Content([]byte(text), id.cert, id.key, sign.Options{Detached: true}))
	tests := []struct {
		name string
		der  []byte
		want error
	}{
		{"empty", nil, sign.ErrMalformed},
		{"text", []byte(text), sign.ErrMalformed},
		{"truncated", good[:len(good)-1], sign.ErrMalformed},
		{"length that is not minimal", append([]byte{0x30, 0x83, 0}, good[2:]...), sign.ErrMalformed},
		{"indefinite length", append([]byte{0x30, 0x80}, append(bytes.Clone(good[4:]), 0, 0)...), sign.ErrMalformed},
		{"longest", append(bytes.Clone(good), make([]byte, sign.MaxLen-len(good))...), nil},
		{"too long", append(bytes.Clone(good), make([]byte, sign.MaxLen-len(good)+1)...), sign.ErrTooLong},
		{"trailing bytes", append(bytes.Clone(good), "junk"...), nil},
		{"not SignedData", replaced(t, good, "06092a864886f70d010702", "06092a864886f70d010703"), sign.ErrUnsupportedForm},
		{"version 2", replaced(t, good, "020101310d", "020102310d"), sign.ErrUnsupportedForm},
		{"message of version 3, signer of version 1", replaced(t, good, "020101310d", "020103310d"), sign.ErrMalformed},
		{"no signer", noSigner(t, id), sign.ErrUnsupportedForm},
		{"attributes of one signer of two", mixed(t, id, other), sign.ErrUnsupportedForm},
		{"other content type", replaced(t, good, derData, derTST), sign.ErrUnsupportedForm},
		{"content type attribute differs", replacedLast(t, attrs, derData, derTST), sign.ErrMalformed},
		{"content changed", bytes.Replace(good, []byte("ALLOW"), []byte("DENY "), 1), sign.ErrRejected},
		{"content changed under attributes", bytes.Replace(attrs, []byte("ALLOW"), []byte("DENY "), 1), sign.ErrRejected},
		{"no digest attribute", replacedLast(t, attrs, "06092a864886f70d010904", "06092a864886f70d010963"), sign.ErrRejected},
		{"no content type attribute", replacedLast(t, attrs, "06092a864886f70d010903", "06092a864886f70d010963"), sign.ErrMalformed},
		{"capabilities", opensslSign(t, id, text, "smime", "-nodetach"), sign.ErrRejected},
		{"digest of unknown kind", replacedLast(t, good, derSHA256, derSHA224), sign.ErrAlgorithm},
		{"RSA identifier with hash", replacedLast(t, good, derRSA, derRSA256), sign.ErrAlgorithm},
		{"certificate of unknown kind", withCertificate(t, id, ed25519Cert()), sign.ErrAlgorithm},
		{"content in pieces", inPieces(t, good), sign.ErrRejected},
		{"content not an octet string", withContentTag(t, good, 0x0c), sign.ErrMalformed},
		{"detached", detached, sign.ErrRejected},
		{"detached over nothing", must(sign.Content(nil, id.cert, id.key, sign.Options{Detached: true})), sign.ErrNoContent},
		{"good", good, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sign.Verify(tt.der, id.ring())
			checkError(t, err, tt.want)
		})
	}
}

// TestInspectSaysWhy: what no kernel takes can be looked at all the same.
func TestInspectSaysWhy(t *testing.T) {
	t.Parallel()
	id := identities["p256"]()
	der := opensslSign(t, id, text, "smime", "-nodetach")
	e, err := sign.Inspect(der)
	if err != nil {
		t.Fatal(err)
	}
	checkError(t, e.Refused, sign.ErrRejected)
	if string(e.Content) != text || !strings.Contains(e.Refused.Error(), "S/MIME capabilities") {
		t.Errorf("content %q, refused %v", e.Content, e.Refused)
	}
	if s := e.Signers[0]; len(s.SignedAttributes) != 4 || s.SigningTime.IsZero() {
		t.Errorf("attributes %v, signing time %v; want four and a time", s.SignedAttributes, s.SigningTime)
	}
	_, err = sign.Verify(der, id.ring())
	checkError(t, err, sign.ErrRejected)
	if e, err = sign.Inspect(id.content(t, text)); err != nil || e.Refused != nil || e.Signers[0].SignedAttributes != nil {
		t.Errorf("a message without attributes: %+v, %v", e, err)
	}
}

// TestWhatIsNoMessage: what people hand over instead of a message is named.
func TestWhatIsNoMessage(t *testing.T) {
	good := identities["p256"]().content(t, text)
	tests := []struct {
		name string
		der  []byte
		want string
	}{
		{"empty", nil, "empty file"},
		{"one byte", good[:1], "truncated: 1 bytes of 2"},
		{"in the header", good[:3], "truncated: 3 bytes of 4"},
		{"behind the header", good[:4], fmt.Sprintf("truncated: 4 bytes of %d", len(good))},
		{"last byte", good[:len(good)-1], fmt.Sprintf("truncated: %d bytes of %d", len(good)-1, len(good))},
		{"short form", []byte{0x30, 3, 1}, "truncated: 3 bytes of 5"},
		{"length beyond reason", []byte{0x30, 0x84, 255, 255, 255, 255}, "expected is DER"},
		{"PEM", []byte("-----BEGIN PKCS7-----\n"), "PEM text where DER is expected"},
		{"text", []byte(text), "expected is DER"},
	}
	for _, tt := range tests {
		_, err := sign.Inspect(tt.der)
		checkError(t, err, sign.ErrMalformed)
		if err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestEmptyContentIsContent(t *testing.T) {
	id := identities["p256"]()
	e, err := sign.Verify(id.content(t, ""), id.ring())
	if err != nil || e.Content == nil || len(e.Content) != 0 {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestStreamedContentIsRejected(t *testing.T) {
	t.Parallel()
	id := identities["p256"]()
	der := opensslSign(t, id, text, "cms", "-noattr", "-nodetach", "-stream")
	_, err := sign.Verify(der, id.ring())
	checkError(t, err, sign.ErrMalformed)
}

func TestTrust(t *testing.T) {
	t.Parallel()
	root := selfSigned("root", ecOf(elliptic.P256()))
	middle := issue("middle", ecOf(elliptic.P384()), &root)
	leaf := issue("leaf", ecOf(elliptic.P256()), &middle)
	stranger := selfSigned("stranger", ecOf(elliptic.P256()))
	// twin has the names of leaf, but another key.
	twin := issue("leaf", ecOf(elliptic.P256()), &middle, func(c *x509.Certificate) {
		c.SerialNumber, c.SubjectKeyId = leaf.cert.SerialNumber, leaf.cert.SubjectKeyId
	})
	alone := leaf.content(t, text)
	chained := opensslSign(t, leaf, text, "smime", "-noattr", "-nodetach", "-certfile", certFile(t, middle))
	nocerts := opensslSign(t, leaf, text, "smime", "-noattr", "-nodetach", "-nocerts")
	tests := []struct {
		name string
		der  []byte
		ring *sign.Keyring
		want error
	}{
		{"own certificate", alone, leaf.ring(), nil},
		{"issuer", alone, middle.ring(), nil},
		{"issuer of issuer, which is missing", alone, root.ring(), sign.ErrUntrusted},
		{"chain to root", chained, root.ring(), nil},
		{"chain to middle", chained, middle.ring(), nil},
		{"chain to leaf", chained, leaf.ring(), nil},
		{"stranger", chained, stranger.ring(), sign.ErrUntrusted},
		{"nobody", alone, nil, sign.ErrUntrusted},
		{"empty ring", alone, sign.NewKeyring(), sign.ErrUntrusted},
		{"no certificate, own in ring", nocerts, leaf.ring(), nil},
		{"no certificate, issuer in ring", nocerts, middle.ring(), sign.ErrUntrusted},
		{"no certificate, other key of the same name", nocerts, twin.ring(), sign.ErrRejected},
		{"other key of the same name", alone, twin.ring(), sign.ErrRejected},
		{"self-signed stranger", stranger.content(t, text), root.ring(), sign.ErrUntrusted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sign.Verify(tt.der, tt.ring)
			checkError(t, err, tt.want)
		})
	}
}

func TestTwoSigners(t *testing.T) {
	t.Parallel()
	a, b := identities["p256"](), identities["rsa2048"]()
	certB, keyB := b.files(t)
	der := opensslSign(t, a, text, "smime", "-noattr", "-nodetach", "-signer", certB, "-inkey", keyB)
	for _, ring := range []*sign.Keyring{a.ring(), b.ring(), sign.NewKeyring(a.cert, b.cert)} {
		if e := accept(t, der, ring, false); len(e.Signers) != 2 {
			t.Errorf("%d signers", len(e.Signers))
		}
	}
	_, err := sign.Verify(der, identities["p384"]().ring())
	checkError(t, err, sign.ErrUntrusted)
	// RSA signs last in the message; ruin it, and the good signature does not help.
	bad := bytes.Clone(der)
	bad[bytes.LastIndex(bad, must(hex.DecodeString(derRSA)))+20] ^= 1
	_, err = sign.Verify(bad, a.ring())
	checkError(t, err, sign.ErrRejected)
}

func TestSigningTime(t *testing.T) {
	t.Parallel()
	past := issue("past", ecOf(elliptic.P256()), nil, func(c *x509.Certificate) {
		c.NotAfter = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	// Without a signing time, an expired certificate is as good as any.
	accept(t, past.content(t, text), past.ring(), false)
	_, err := sign.Verify(opensslSign(t, past, text, "smime", "-nodetach", "-nosmimecap"), past.ring())
	checkError(t, err, sign.ErrRejected)
}

func TestVerifyDetached(t *testing.T) {
	id := identities["p256"]()
	der := must(sign.Content([]byte(text), id.cert, id.key, sign.Options{Detached: true}))
	_, err := sign.VerifyDetached(der, []byte("other"), id.ring())
	checkError(t, err, sign.ErrRejected)
	_, err = sign.VerifyDetached(id.content(t, text), []byte(text), id.ring())
	checkError(t, err, sign.ErrMalformed)
	_, err = sign.VerifyDetached([]byte("x"), nil, id.ring())
	checkError(t, err, sign.ErrMalformed)
}

func TestInspect(t *testing.T) {
	id := identities["rsa2048"]()
	der := append(id.content(t, text), "tail"...)
	e, err := sign.Inspect(bytes.Replace(der, []byte("ALLOW"), []byte("DENY "), 1))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(e.Content, []byte("DENY ")) || e.Signers[0].Anchor != nil {
		t.Errorf("got %+v", e)
	}
	s := e.Signers[0]
	if s.Issuer != "CN=rsa2048" || s.Serial.Cmp(id.cert.SerialNumber) != 0 || s.SignatureAlgorithm != x509.SHA256WithRSA {
		t.Errorf("signer %+v", s)
	}
	if e, err = sign.Inspect(der); err != nil || e.SHA256 != sha256.Sum256(der) {
		t.Errorf("digest of the whole: %x, %v", e.SHA256, err)
	}
	_, err = sign.Inspect(nil)
	checkError(t, err, sign.ErrMalformed)
}

func certFile(t *testing.T, id identity) string {
	path, _ := id.files(t)
	return path
}

// withContentTag changes the tag of the content.
func withContentTag(t *testing.T, der []byte, tag byte) []byte {
	changed := bytes.Clone(der)
	i := bytes.Index(changed, append([]byte{0x04, byte(len(text))}, text...))
	if i < 0 {
		t.Fatal("no content in message")
	}
	changed[i] = tag
	return changed
}

// inPieces makes the content a constructed octet string.
func inPieces(t *testing.T, der []byte) []byte { return withContentTag(t, der, 0x24) }

// unsigned starts a message of the second implementation.
func unsigned(t *testing.T) *pkcs7.SignedData {
	sd := must(pkcs7.NewSignedData([]byte(text)))
	sd.SetDigestAlgorithm(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1})
	return sd
}

func noSigner(t *testing.T, id identity) []byte {
	sd := unsigned(t)
	sd.AddCertificate(id.cert)
	return must(sd.Finish())
}

func mixed(t *testing.T, plain, withAttributes identity) []byte {
	sd := unsigned(t)
	sd.SetEncryptionAlgorithm(pkcs7.OIDEncryptionAlgorithmRSA)
	for _, err := range []error{
		sd.SignWithoutAttr(plain.cert, plain.key, pkcs7.SignerInfoConfig{}),
		sd.AddSigner(withAttributes.cert, withAttributes.key, pkcs7.SignerInfoConfig{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return must(sd.Finish())
}

func withCertificate(t *testing.T, id identity, extra *x509.Certificate) []byte {
	sd := unsigned(t)
	sd.SetEncryptionAlgorithm(pkcs7.OIDEncryptionAlgorithmRSA)
	if err := sd.SignWithoutAttr(id.cert, id.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	sd.AddCertificate(extra)
	return must(sd.Finish())
}

func ed25519Cert() *x509.Certificate {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return selfSigned("ed25519", must[crypto.Signer](key, err)).cert
}
