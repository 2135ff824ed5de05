package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/policy"
)

// sample is what testdata/index-1 holds.
func sample() index {
	return index{
		mode:   Mode{Enforce: true, SuccessAudit: true},
		active: "p",
		policies: map[string]record{
			"p":        {version: policy.Version{Major: 1, Minor: 5}, sum: [32]byte{1, 2, 3}},
			"\x00\xff": {version: policy.Version{Rev: 65535}, sum: [32]byte{4}},
		},
		floors: map[string]policy.Version{"p": {Major: 1, Minor: 5}, "gone": {Major: 7}},
	}
}

// TestFormat1 keeps every store ever written readable.
func TestFormat1(t *testing.T) {
	golden, err := os.ReadFile("testdata/index-1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseIndex(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got, cmp.AllowUnexported(index{}, record{})); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(sample().encodeAs(1), golden) {
		t.Errorf("encoded as\n%s", sample().encodeAs(1))
	}
}

// TestFormat2 has what format 1 cannot hold.
func TestFormat2(t *testing.T) {
	golden, err := os.ReadFile("testdata/index-2")
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	want.mode.EnforceSince = "0b6cb8b8-3f5e-4a7d-9d5c-2d4a3c1f7e11"
	got, err := parseIndex(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(index{}, record{})); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(want.encodeAs(2), golden) {
		t.Errorf("encoded as\n%s", want.encodeAs(2))
	}
	want.mode.SuccessAuditSince = "another"
	if got, err := parseIndex(want.encodeAs(2)); err != nil || got.mode != want.mode {
		t.Errorf("read back: %+v, %v", got.mode, err)
	}
}

// TestFormat3 has the number of changes, and what the second copy adds.
func TestFormat3(t *testing.T) {
	golden, err := os.ReadFile("testdata/copy-3")
	if err != nil {
		t.Fatal(err)
	}
	want, message := sample(), []byte("a signed policy")
	want.seq = 17
	want.policies["p"] = record{version: want.floors["p"], sum: sha256.Sum256(message)}
	got, envelope, err := parseCopy(golden)
	if err != nil || !bytes.Equal(envelope, message) {
		t.Fatalf("envelope %q, %v", envelope, err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(index{}, record{})); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(want.encodeCopy(message), golden) {
		t.Errorf("encoded as\n%s", want.encodeCopy(message))
	}
}

func TestIndexRefused(t *testing.T) {
	good := string(sample().encode())
	for _, tt := range []struct {
		old, with string
		want      error
	}{
		{"ipe-store 3", "ipe-store 4", ErrFormat},
		{"ipe-store 3", "ipe-store x", ErrFormat},
		{"ipe-store 3", "ipe-store 03", ErrCorrupt},
		{"ipe-store 3", "ipe-store 2", ErrCorrupt},
		{"ipe-store 3", "hello", ErrCorrupt},
		{"mode", "more", ErrCorrupt},
		{"enforce=1", "enforce=2", ErrCorrupt},
		{"seq 0", "seq 00", ErrCorrupt},
		{"seq 0", "seq -1", ErrCorrupt},
		{"1.5.0", "01.5.0", ErrCorrupt},
		{"1.5.0", "70000.5.0", ErrCorrupt},
		{"floor 70 1.5.0", "floor 70 1.6.0", ErrCorrupt},
		{"floor 70 1.5.0", "floor 70 1.4.0", ErrCorrupt},
		{"floor 70 1.5.0\n", "", ErrCorrupt},
		{"active 70", "active 71", ErrCorrupt},
		{"active 70", "active ", ErrCorrupt},
	} {
		body := strings.Replace(good[:strings.LastIndex(good, "sum ")], tt.old, tt.with, 1)
		if _, err := parseIndex([]byte(body + sumLine([]byte(body)))); !errors.Is(err, tt.want) {
			t.Errorf("%q in the place of %q: %v", tt.with, tt.old, err)
		}
	}
}

func TestMaxFloors(t *testing.T) {
	x := newIndex()
	for i := range MaxFloors {
		if err := x.raise(fmt.Sprint(i), policy.Version{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.raise("more", policy.Version{}); !errors.Is(err, ErrLimit) || len(x.floors) != MaxFloors {
		t.Errorf("got %v", err)
	}
	if err := x.raise("0", policy.Version{Major: 1}); err != nil {
		t.Errorf("known name: %v", err)
	}
	x.floors["more"] = policy.Version{}
	if _, err := parseIndex(x.encode()); !errors.Is(err, ErrLimit) || !errors.Is(err, ErrCorrupt) {
		t.Errorf("read beyond the limit: %v", err)
	}
}

// TestMaxIndex: a store at all its limits can be read again.
func TestMaxIndex(t *testing.T) {
	x := newIndex()
	name := func(i int) string { return fmt.Sprintf("%0*d", policy.MaxName, i) }
	for i := range MaxFloors {
		x.floors[name(i)] = policy.Version{Major: 65535, Minor: 65535, Rev: 65535}
	}
	for i := range MaxPolicies {
		x.policies[name(i)] = record{version: x.floors[name(i)]}
	}
	x.active = name(0)
	b := x.encode()
	if len(b) > maxIndex {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := parseIndex(b); err != nil {
		t.Error(err)
	}
}

// FuzzIndex: no panic; a known class of error or the very state that was written.
// The checksum is made to fit, for a fuzzer does not find one.
func FuzzIndex(f *testing.F) {
	f.Add(string(sample().encode()), false)
	f.Add("ipe-store 1\nmode enforce=0 success_audit=0\n", true)
	f.Add("ipe-store 2\nmode enforce=0 success_audit=0\nsince enforce x\nsince success_audit y\n", true)
	f.Add("ipe-store 3\nseq 18446744073709551615\nmode enforce=0 success_audit=0\n", true)
	f.Fuzz(func(t *testing.T, text string, fix bool) {
		if fix {
			text += sumLine([]byte(text))
		}
		x, err := parseIndex([]byte(text))
		if err != nil {
			checkClass(t, err)
			return
		}
		if x.check() != nil || string(x.encode()) != text && string(x.encodeAs(x.oldFormat())) != text {
			t.Fatalf("%q is read as %+v", text, x)
		}
	})
}

func checkClass(t *testing.T, err error) {
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
		t.Fatalf("unclassed error %v", err)
	}
}

// FuzzCopy: as FuzzIndex, and an envelope is what the index says of the active policy.
func FuzzCopy(f *testing.F) {
	x := sample()
	x.policies["p"] = record{version: x.floors["p"], sum: sha256.Sum256([]byte("message"))}
	body := string(x.encode())
	body = body[:strings.LastIndex(body, "sum ")]
	f.Add(body, "envelope bWVzc2FnZQ==\n")
	f.Add(body, "envelope bWVzc2FnZQ=")
	f.Add(body, "\nenvelope \nenvelope bWVzc2FnZQ==\n")
	f.Add("ipe-store 3\nseq 1\nmode enforce=0 success_audit=0\n", "envelope \n")
	f.Fuzz(func(t *testing.T, body, rest string) {
		text := body + sumLine([]byte(body)) + rest
		x, envelope, err := parseCopy([]byte(text))
		if err != nil {
			checkClass(t, err)
			return
		}
		if envelope != nil && (x.active == "" || sha256.Sum256(envelope) != x.policies[x.active].sum) {
			t.Fatalf("%q has envelope %q", text, envelope)
		}
		again, same, err := parseCopy(x.encodeCopy(envelope))
		if err != nil || !bytes.Equal(same, envelope) || !cmp.Equal(again, x, cmp.AllowUnexported(index{}, record{})) {
			t.Fatalf("%q is read as %+v, and again as %+v, %v", text, x, again, err)
		}
	})
}

func BenchmarkParseIndex(b *testing.B) {
	text := sample().encode()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := parseIndex(text); err != nil {
			b.Fatal(err)
		}
	}
}
