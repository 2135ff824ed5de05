package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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
	if !bytes.Equal(sample().encode(), golden) {
		t.Errorf("encoded as\n%s", sample().encode())
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
	if !bytes.Equal(want.encode(), golden) {
		t.Errorf("encoded as\n%s", want.encode())
	}
	want.mode.SuccessAuditSince = "another"
	if got, err := parseIndex(want.encode()); err != nil || got.mode != want.mode {
		t.Errorf("read back: %+v, %v", got.mode, err)
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
	name := func(i int) string { return fmt.Sprintf("%0*d", MaxName, i) }
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
	f.Fuzz(func(t *testing.T, text string, fix bool) {
		if fix {
			text += sumLine([]byte(text))
		}
		x, err := parseIndex([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Fatalf("unclassed error %v", err)
			}
			return
		}
		if string(x.encode()) != text || x.check() != nil {
			t.Fatalf("%q is read as %+v", text, x)
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
