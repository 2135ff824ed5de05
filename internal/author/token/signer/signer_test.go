//go:build cgo

package signer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/author/token"
)

// serve returns the errors that lines give, without a token.
func serve(t *testing.T, lines ...string) (said []string) {
	t.Helper()
	var out bytes.Buffer
	if err := Serve(strings.NewReader(strings.Join(lines, "\n")), &out); err != nil {
		said = append(said, err.Error())
	}
	replies := token.NewLines(&out)
	for {
		var r token.Reply
		if err := replies.Next(&r); errors.Is(err, io.EOF) {
			return said
		} else if err != nil {
			t.Fatal(err)
		}
		if r.Error == nil {
			t.Fatalf("%q: no error", lines)
		}
		said = append(said, r.Error.Text)
	}
}

// TestServeRefuses: nothing is asked of a module before its turn, nor of one that is
// not there.
func TestServeRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`{"op":"login","pin":"s3cret"}`:                      "out of order",
		`{"op":"key"}`:                                       "out of order",
		`{"op":"sign","hash":"sha256","digest":"AAAA"}`:      "out of order",
		`{"op":"format"}`:                                    "no such request",
		`{"op":"open","module":"/m.so","uri":"file:x"}`:      "does not begin with pkcs11:",
		`{"op":"open","module":"m.so","uri":"pkcs11:"}`:      "not an absolute path",
		`{"op":"open","module":"/nowhere","uri":"pkcs11:"}`:  "no such file",
		`{"op":"open","module":"/dev/null","uri":"pkcs11:"}`: "not a file",
		`{"op":"open","module":"/bin/sh","uri":"pkcs11:"}`:   "not a PKCS#11 library",
		`{"op":"login","pin":"s3cret","more":1}`:             "not the object",
		`{"op":"login","pin":"s3cret"`:                       "not the object",
		strings.Repeat(" ", 2<<20) + `{"op":"login"}`:        "longer than",
	} {
		said := serve(t, line)
		if len(said) != 1 || !strings.Contains(said[0], want) || strings.Contains(said[0], "s3cret") {
			t.Errorf("%.60s: %q, want %s", line, said, want)
		}
	}
	// One refusal does not end it; a line that is none does.
	if said := serve(t, `{"op":"key"}`, `{"op":"key"}`, `{`, `{"op":"key"}`); len(said) != 3 {
		t.Errorf("%q", said)
	}
}

// FuzzPoint: points are read in both forms in which tokens have them, and only if
// they are on the curve.
func FuzzPoint(f *testing.F) {
	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	bare, err := key.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	wrapped, err := asn1.Marshal(bare)
	if err != nil {
		f.Fatal(err)
	}
	for _, point := range [][]byte{bare, wrapped} {
		if pub := pointOn(p256, point); pub == nil || !pub.Equal(key.Public()) {
			f.Errorf("%x is read as %v", point, pub)
		}
		if pub := pointOn([]byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, point); pub != nil {
			f.Errorf("%x is read on P-384", point)
		}
		f.Add(p256, point)
	}
	f.Add([]byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}, bare) // secp256k1
	f.Fuzz(func(t *testing.T, params, point []byte) {
		pub := pointOn(params, point)
		if pub == nil {
			return
		}
		b, err := pub.Bytes()
		if err != nil || !bytes.HasSuffix(point, b) {
			t.Errorf("%x is read as %x, %v", point, b, err)
		}
	})
}

// FuzzECDSA: what two halves become can be read as two numbers again.
func FuzzECDSA(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte{0xff, 0x01})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, sig []byte) {
		der, err := ecdsaASN1(sig)
		if err != nil {
			if len(sig) > 0 && len(sig)%2 == 0 {
				t.Errorf("%x: %v", sig, err)
			}
			return
		}
		var halves struct{ R, S asn1.RawValue }
		if rest, err := asn1.Unmarshal(der, &halves); err != nil || len(rest) > 0 {
			t.Fatalf("%x becomes %x: %v", sig, der, err)
		}
		for i, half := range []asn1.RawValue{halves.R, halves.S} {
			want := bytes.TrimLeft(sig[i*len(sig)/2:(i+1)*len(sig)/2], "\x00")
			if !bytes.Equal(bytes.TrimLeft(half.Bytes, "\x00"), want) || half.Bytes[0]&0x80 != 0 {
				t.Errorf("%x becomes %x", sig, der)
			}
		}
	})
}

// TestForbidDumps asks the kernel whether the memory of this process is for others.
func TestForbidDumps(t *testing.T) {
	if err := forbidDumps(); err != nil {
		t.Fatal(err)
	}
	got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || got != 0 {
		t.Errorf("dumpable: %d, %v; want 0", got, err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
}

// TestNumber has CK_ULONG as machines of 32 and 64 bits have it.
func TestNumber(t *testing.T) {
	short, long := binary.NativeEndian.AppendUint32(nil, 3), binary.NativeEndian.AppendUint64(nil, 3)
	for _, c := range []struct {
		b    []byte
		want uint64
	}{{short, 3}, {long, 3}, {nil, ^uint64(0)}, {short[:3], ^uint64(0)}} {
		if got := number(c.b); got != c.want {
			t.Errorf("%x: %#x, want %#x", c.b, got, c.want)
		}
	}
}
