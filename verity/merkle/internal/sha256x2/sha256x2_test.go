package sha256x2

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"
)

// want is the digest by crypto/sha256.
func want(prefix, message, suffix []byte) []byte {
	h := sha256.New()
	h.Write(prefix)
	h.Write(message)
	h.Write(suffix)
	return h.Sum(nil)
}

// check compares a Pair with crypto/sha256, both ways round and twice, so that
// nothing may be left of what came before.
func check(t *testing.T, prefix, suffix, a, b []byte) {
	t.Helper()
	p := New(prefix, suffix, len(a))
	if p == nil {
		return // TestAvailable says whether that is right
	}
	wantA, wantB := want(prefix, a, suffix), want(prefix, b, suffix)
	for range 2 {
		if x, y := p.Sums(nil, nil, a, b); !bytes.Equal(x, wantA) || !bytes.Equal(y, wantB) {
			t.Fatalf("prefix of %d, messages of %d, suffix of %d: %x and %x, want %x and %x", len(prefix), len(a), len(suffix), x, y, wantA, wantB)
		}
		a, b, wantA, wantB = b, a, wantB, wantA
	}
}

// TestSums has every size of prefix and message around the blocks, some of suffixes,
// and messages at any address.
func TestSums(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 4096)
	for prefix := range 2*BlockSize + 2 {
		if _, err := r.Read(buf); err != nil {
			t.Fatal(err)
		}
		for size := range 5 * BlockSize {
			suffix := prefix * size % 257
			check(t, buf[:prefix], buf[1000:][:suffix], buf[2000+size%16:][:size], buf[3000+prefix%16:][:size])
		}
	}
}

// TestBlocks has messages as hash trees have them.
func TestBlocks(t *testing.T) {
	r := rand.NewChaCha8([32]byte{2})
	buf := make([]byte, 2<<16)
	if _, err := r.Read(buf); err != nil {
		t.Fatal(err)
	}
	for size := 512; size <= 1<<16; size *= 2 {
		for _, salt := range []int{0, 32, 64, 256} {
			check(t, buf[:salt], nil, buf[:size], buf[size:][:size])
			check(t, nil, buf[:salt], buf[:size], buf[size:][:size])
		}
	}
}

// TestAvailable holds New against what the kernel says of the processor. It passes
// with GODEBUG=fips140=on, too, and with -tags purego.
func TestAvailable(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile(`(?m)^flags\s*:.*\bsha_ni\b`).Match(info)
	fips := fips140.Enabled()
	if got := New(nil, nil, 1) != nil; got != (listed && built && !fips) {
		t.Fatalf("available: %v; sha_ni in /proc/cpuinfo: %v; assembly in this build: %v; FIPS 140-3 mode: %v", got, listed, built, fips)
	}
}

func TestAllocations(t *testing.T) {
	p := New(make([]byte, 32), nil, 4096)
	if p == nil {
		return
	}
	a, b := make([]byte, 4096), make([]byte, 4096)
	var x, y [Size]byte
	if n := testing.AllocsPerRun(10, func() { p.Sums(x[:0], y[:0], a, b) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzSums(f *testing.F) {
	f.Add([]byte("salt"), []byte{}, []byte("abc"), []byte("abd"))
	f.Add(bytes.Repeat([]byte{1}, 100), bytes.Repeat([]byte{2}, 100), bytes.Repeat([]byte{3}, 500), bytes.Repeat([]byte{4}, 500))
	f.Fuzz(func(t *testing.T, prefix, suffix, a, b []byte) {
		n := min(len(a), len(b))
		check(t, prefix, suffix, a[:n], b[:n])
	})
}

// BenchmarkSums hashes two blocks, by a Pair and one after the other.
func BenchmarkSums(b *testing.B) {
	m, n := make([]byte, 4096), make([]byte, 4096)
	var x, y [Size]byte
	if p := New(nil, nil, 4096); p != nil {
		b.Run("pair", func(b *testing.B) {
			b.SetBytes(2 * 4096)
			for b.Loop() {
				p.Sums(x[:0], y[:0], m, n)
			}
		})
	}
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(2 * 4096)
		for b.Loop() {
			x, y = sha256.Sum256(m), sha256.Sum256(n)
		}
	})
}
