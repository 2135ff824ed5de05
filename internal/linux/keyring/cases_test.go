//go:build linux && !guest

package keyring_test

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Object identifiers, as they stand in messages.
const (
	derData      = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
	derDigested  = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x05"
	derSigned    = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
	derEnveloped = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"
	derSHA256    = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	derUnknown   = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x77"
	derRSA       = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
	derRSASHA256 = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
)

// messages is the list that the kernel and we are asked about.
func messages(t *testing.T) []message {
	b := bench{t, t.TempDir()}
	p, s := b.platform(), b.stranger("stranger", "rsa:2048")
	var all []message
	for _, group := range [][]message{b.trusted(p), b.signers(p, s), b.digests(p), b.strangers(s), b.broken(p, s), b.shapes(p, s), b.bytes(p)} {
		all = append(all, group...)
	}
	return all
}

// trusted are the ways in which one trusted signer signs.
func (b bench) trusted(p signer) []message {
	leaf := b.issued("leaf", p)
	below := b.issued("below", leaf)
	old := b.past("old", p)
	return []message{
		{"smime", b.smime(p, "-noattr", "-nodetach"), "OK", ""},
		{"smime without certificates", b.smime(p, "-noattr", "-nodetach", "-nocerts"), "OK", ""},
		{"smime with attributes", b.smime(p, "-nodetach", "-nosmimecap"), "OK", ""},
		{"smime with attributes, no certificates", b.smime(p, "-nodetach", "-nosmimecap", "-nocerts"), "OK", ""},
		{"smime with capabilities", b.smime(p, "-nodetach"), "EKEYREJECTED", ""},
		{"cms", b.cms(p, text, "-noattr", "-nodetach"), "OK", ""},
		{"cms with attributes", b.cms(p, text, "-nodetach", "-nosmimecap"), "OK", ""},
		{"cms by key id", b.cms(p, text, "-noattr", "-nodetach", "-keyid"), "OK", ""},
		{"cms by key id, no certificates", b.cms(p, text, "-noattr", "-nodetach", "-keyid", "-nocerts"), "OK", ""},
		{"RSA PSS", b.cms(p, text, "-noattr", "-nodetach", "-keyopt", "rsa_padding_mode:pss"), "ENOPKG", ""},
		{"leaf", b.smime(leaf, "-noattr", "-nodetach"), "OK", ""},
		{"leaf and its issuer", b.smime(leaf, "-noattr", "-nodetach", "-certfile", p.cert), "OK", ""},
		{"leaf, no certificates", b.smime(leaf, "-noattr", "-nodetach", "-nocerts"), "ENOKEY", ""},
		{"below the leaf", b.smime(below, "-noattr", "-nodetach", "-certfile", leaf.cert), "OK", ""},
		{"below a missing leaf", b.smime(below, "-noattr", "-nodetach"), "ENOKEY", ""},
		{"a certificate for Ed25519 besides", b.smime(p, "-noattr", "-nodetach", "-certfile", b.stranger("ed25519", "ed25519").cert), "ENOPKG", ""},
		{"a certificate for P-256 besides", b.smime(p, "-noattr", "-nodetach", "-certfile", b.stranger("besides", "ec", "-pkeyopt", "ec_paramgen_curve:P-256").cert), "OK", "ENOENT"},
		{"certificate of the past", b.smime(old, "-noattr", "-nodetach"), "OK", ""},
		{"certificate of the past, signing time", b.smime(old, "-nodetach", "-nosmimecap"), "EKEYREJECTED", ""},
		{"certificate of the past, not in the message", b.smime(old, "-nodetach", "-nosmimecap", "-nocerts"), "ENOKEY", ""},
	}
}

// signers are messages of several.
func (b bench) signers(p, s signer) []message {
	both := func(first, second signer, flags ...string) []byte {
		return b.smime(first, append([]string{"-nodetach", "-nosmimecap", "-signer", second.cert, "-inkey", second.key}, flags...)...)
	}
	file := filepath.Join(b.dir, "resign")
	if err := os.WriteFile(file, b.cms(p, text, "-nodetach", "-nosmimecap"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	mixed := b.openssl(nil, "cms", "-resign", "-in", file, "-inform", "der", "-signer", s.cert, "-inkey", s.key, "-noattr", "-outform", "der")
	last := func(data []byte) []byte {
		data = bytes.Clone(data)
		data[len(data)-1] ^= 1
		return data
	}
	return []message{
		{"trusted and stranger", both(p, s, "-noattr"), "OK", ""},
		{"stranger and trusted", both(s, p, "-noattr"), "OK", ""},
		{"trusted and stranger with attributes", both(p, s), "OK", ""},
		{"two signers without certificates", both(p, s, "-noattr", "-nocerts"), "OK", ""},
		{"two strangers", both(s, b.stranger("another", "rsa:2048"), "-noattr"), "ENOKEY", ""},
		{"some attributes", mixed, "EINVAL", ""},
		{"second signature broken", last(both(p, s, "-noattr")), "EINVAL EBADMSG", ""},
		{"second signature broken, no certificates", last(both(p, s, "-noattr", "-nocerts")), "EKEYREJECTED", ""},
		{"the other signature broken, no certificates", last(both(s, p, "-noattr", "-nocerts")), "EKEYREJECTED", ""},
	}
}

// digests are hashes that kernels have, or have not.
func (b bench) digests(p signer) []message {
	md := func(name string, flags ...string) []byte {
		return b.smime(p, append([]string{"-noattr", "-nodetach", "-md", name}, flags...)...)
	}
	return []message{
		{"MD5", md("md5"), "ENOPKG", "OK"},
		{"SHA-1", md("sha1"), "OK", ""},
		{"SHA-1 with attributes", b.smime(p, "-nodetach", "-nosmimecap", "-md", "sha1"), "OK", ""},
		{"SHA-224", md("sha224"), "OK", ""},
		{"SHA-384", md("sha384"), "OK", "ENOPKG"},
		{"SHA-512", md("sha512"), "OK", "ENOPKG"},
		// a module in newer kernels
		{"SHA3-256", md("sha3-256"), "OK ENOPKG", ""},
		{"SHA3-512", md("sha3-512"), "OK ENOPKG", ""},
		{"RIPEMD", b.smime(p, "-noattr", "-nodetach", "-md", "ripemd160", "-provider", "legacy", "-provider", "default"), "ENOPKG", ""},
		{"unknown digest", swapped(b.t, md("sha256"), derSHA256, derUnknown), "ENOPKG", ""},
		{"RSA and hash in one", swapped(b.t, b.smime(p, "-noattr", "-nodetach", "-nocerts"), derRSA, derRSASHA256), "ENOPKG", ""},
		{"RSA and hash in one, with attributes", swapped(b.t, b.smime(p, "-nodetach", "-nosmimecap", "-nocerts"), derRSA, derRSASHA256), "ENOPKG", ""},
	}
}

// strangers sign well, and nobody knows them.
func (b bench) strangers(s signer) []message {
	list := []message{
		{"stranger", b.smime(s, "-noattr", "-nodetach"), "ENOKEY", ""},
		{"stranger without certificates", b.smime(s, "-noattr", "-nodetach", "-nocerts"), "ENOKEY", ""},
		{"stranger, with attributes", b.smime(s, "-nodetach", "-nosmimecap"), "ENOKEY", ""},
		{"stranger's name borrowed", b.smime(b.namesake(), "-noattr", "-nodetach"), "ENOKEY", ""},
	}
	for _, bits := range []string{"1024", "3072", "4096"} {
		list = append(list, message{"stranger RSA " + bits, b.smime(b.stranger("rsa"+bits, "rsa:"+bits), "-noattr", "-nodetach"), "ENOKEY", ""})
	}
	for _, curve := range []string{"P-256", "P-384", "P-521", "secp256k1"} {
		want, old := "ENOKEY", "ENOENT"
		switch curve {
		case "P-521":
			old = "ENOPKG"
		case "secp256k1":
			want, old = "ENOPKG", "ENOPKG"
		}
		ec := b.stranger(curve, "ec", "-pkeyopt", "ec_paramgen_curve:"+curve)
		for _, md := range []string{"sha256", "sha384", "sha512"} {
			list = append(list, message{"stranger " + curve + " " + md, b.smime(ec, "-noattr", "-nodetach", "-md", md), want, old})
		}
	}
	return list
}

// namesake is a stranger who calls himself as the platform's signer is called.
func (b bench) namesake() signer {
	s := signer{filepath.Join(b.dir, "namesake.pem"), filepath.Join(b.dir, "namesake.key")}
	b.openssl(nil, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/C=US/ST=Colorado/L=Fort Collins/O=SnakeOil", "-keyout", s.key, "-out", s.cert)
	return s
}

// signingTime is the type of that attribute.
const signingTime = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"

// broken are good messages that somebody touched. What comes of it must not depend on the
// time of the day, nor on the day.
func (b bench) broken(p, s signer) []message {
	good, attrs := b.smime(p, "-noattr", "-nodetach"), b.smime(p, "-nodetach", "-nosmimecap")
	list := []message{
		{"content changed", changed(b.t, good, "policy_name=", 0), "EKEYREJECTED", ""},
		{"content changed, no certificates", changed(b.t, b.smime(p, "-noattr", "-nodetach", "-nocerts"), "policy_name=", 0), "EKEYREJECTED", ""},
		{"content changed, with attributes", changed(b.t, attrs, "policy_name=", 0), "EKEYREJECTED", ""},
		{"stranger's content changed", changed(b.t, b.smime(s, "-noattr", "-nodetach"), "policy_name=", 0), "EKEYREJECTED", ""},
		{"signature changed", changed(b.t, good, string(good[len(good)-8:len(good)-1]), 0), "EINVAL", ""},
		// Behind the type are the heads of a set and of a time, of two bytes each, then YYMMDDHHMMSSZ.
		{"signing time changed to another", changed(b.t, attrs, signingTime, 4+9), "EKEYREJECTED", ""},
		{"signing time changed to none", turned(b.t, attrs, signingTime, 4, 0x40), "EBADMSG", ""},
		{"attribute digest changed", changed(b.t, attrs, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04", 8), "EKEYREJECTED", ""},
		{"attribute type changed", changed(b.t, attrs, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03", 12), "EBADMSG", ""},
		{"detached", b.smime(p, "-noattr"), "EKEYREJECTED", ""},
		{"detached, with attributes", b.smime(p, "-nosmimecap"), "EKEYREJECTED", ""},
		{"detached by a stranger", b.smime(s, "-noattr"), "EKEYREJECTED", ""},
		{"nothing signed, detached", b.cms(p, "", "-noattr"), "ENODATA", ""},
		{"nothing signed, detached, by a stranger", b.cms(s, "", "-noattr"), "ENOKEY", ""},
		{"empty content", b.cms(p, "", "-noattr", "-nodetach"), "EBADMSG", ""},
		{"a bad policy", b.cms(p, "policy_name=p\n", "-noattr", "-nodetach"), "EBADMSG", ""},
	}
	return list
}

// shapes are messages of another kind.
func (b bench) shapes(p, s signer) []message {
	good := b.smime(p, "-noattr", "-nodetach", "-nocerts")
	return []message{
		{"content of another type", b.cms(p, text, "-noattr", "-nodetach", "-econtent_type", "1.2.3.4"), "EINVAL", ""},
		{"content of another type, attributes", b.cms(p, text, "-nosmimecap", "-nodetach", "-econtent_type", "1.2.3.4"), "EINVAL", ""},
		{"content signed data", b.cms(p, text, "-noattr", "-nodetach", "-econtent_type", "pkcs7-signedData"), "EINVAL", ""},
		{"content of another type by a stranger", b.cms(s, text, "-noattr", "-nodetach", "-econtent_type", "1.2.3.4"), "EINVAL", ""},
		{"content of Authenticode", b.cms(p, text, "-noattr", "-nodetach", "-econtent_type", "1.3.6.1.4.1.311.2.1.4"), "EBADMSG", ""},
		{"content called digested", swapped(b.t, good, derData, derDigested), "EINVAL", ""},
		{"called enveloped", swapped(b.t, good, derSigned, derEnveloped), "EINVAL", ""},
		{"enveloped", b.openssl([]byte(text), "cms", "-encrypt", "-aes128", "-binary", "-outform", "der", p.cert), "EINVAL", ""},
		{"no signer", b.openssl(nil, "crl2pkcs7", "-nocrl", "-certfile", p.cert, "-outform", "der"), "EBADMSG", ""},
		{"streamed", b.cms(p, text, "-noattr", "-nodetach", "-stream"), "EKEYREJECTED", ""},
		{"indefinite lengths", indefinite(b.t, good), "OK", ""},
		{"indefinite lengths, one end missing", indefinite(b.t, good)[:len(good)-2], "EBADMSG", ""},
		{"content's length in two bytes", longer(b.t, b.cms(p, text+strings.Repeat("#\n", 64), "-noattr", "-nodetach", "-nocerts")), "OK", ""},
		{"version 2", swapped(b.t, good, derSigned+string(good[15:25])+"\x01", derSigned+string(good[15:25])+"\x02"), "EINVAL", ""},
		{"content a printable string", swapped(b.t, good, "\x04\x38policy_name", "\x13\x38policy_name"), "OK", ""},
		{"content a sequence", swapped(b.t, good, "\x04\x38policy_name", "\x30\x38policy_name"), "OK", ""},
		{"content octets constructed", swapped(b.t, good, "\x04\x38policy_name", "\x24\x38policy_name"), "OK", ""},
	}
}

// indefinite returns a message with the lengths of its three outer elements said at
// their ends. Each of them says it in two bytes.
func indefinite(t *testing.T, der []byte) []byte {
	t.Helper()
	const head, oid = 4, 11
	if string(der[:2]) != "\x30\x82" || string(der[head+oid:head+oid+2]) != "\xa0\x82" || string(der[2*head+oid:2*head+oid+2]) != "\x30\x82" {
		t.Fatalf("message begins with %x", der[:32])
	}
	out := append([]byte("\x30\x80"), der[head:head+oid]...)
	out = append(out, "\xa0\x80\x30\x80"...)
	return append(append(out, der[3*head+oid:]...), 0, 0, 0, 0, 0, 0)
}

// longer returns a message whose content says its length, below 256, in a byte more
// than is needed: what nobody would do, and the kernel takes.
func longer(t *testing.T, der []byte) []byte {
	t.Helper()
	const short, long = "\x04\x81\xb8policy_name", "\x04\x82\x00\xb8policy_name"
	if !bytes.Contains(der, []byte(short)) {
		t.Fatalf("message is %x", der)
	}
	der = bytes.Replace(der, []byte(short), []byte(long), 1)
	// Four elements are around it; the three outer ones say their lengths in two bytes.
	for _, at := range []int{2, 4 + 11 + 2, 4 + 11 + 4 + 2} {
		binary.BigEndian.PutUint16(der[at:], binary.BigEndian.Uint16(der[at:])+1)
	}
	info := bytes.Index(der, []byte(derData)) - 1
	der[info]++                  // of the content info
	der[info+1+len(derData)+2]++ // of the explicit tag
	return der
}

// bytes are what does not get as far as a signature.
func (b bench) bytes(p signer) []message {
	good := b.smime(p, "-noattr", "-nodetach")
	list := []message{
		{"empty", nil, "EBADMSG", ""},
		{"text", []byte(text), "EBADMSG", ""},
		{"PEM", pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: good}), "EBADMSG", ""},
		{"zeros", make([]byte, 512), "EBADMSG", ""},
		{"trailing byte", append(bytes.Clone(good), 0), "OK", ""},
		{"trailing message", append(bytes.Clone(good), good...), "OK", ""},
		{"65535 bytes", append(bytes.Clone(good), make([]byte, 65535-len(good))...), "OK", ""},
		{"65536 bytes", append(bytes.Clone(good), make([]byte, 65536-len(good))...), "EMSGSIZE", ""},
		{"65536 zeros", make([]byte, 65536), "EMSGSIZE", ""},
		{"large content", b.cms(p, text+strings.Repeat("#\n", 31000), "-noattr", "-nodetach"), "OK", ""},
		{"too large content", b.cms(p, text+strings.Repeat("#\n", 33000), "-noattr", "-nodetach"), "EMSGSIZE", ""},
	}
	for _, n := range []int{1, 2, 3, 4, 5, 20, len(good) / 2, len(good) - 1} {
		list = append(list, message{"first " + itoa(n), good[:n], "EBADMSG", ""})
	}
	return list
}
