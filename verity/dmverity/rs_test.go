package dmverity

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// codeword returns a random word with its parity.
func codeword(r *rand.Rand, e *encoder) []byte {
	word := make([]byte, codeLength)
	for i := range word {
		word[i] = byte(r.Uint32())
	}
	e.encode(word)
	return word
}

// TestDecode wants every pattern of errors and erasures undone that can be.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for roots := MinFECRoots; roots <= MaxFECRoots; roots++ {
		e := newEncoder(roots)
		d := decoder{encoder: e}
		for range 200 {
			word := codeword(r, e)
			bad := bytes.Clone(word)
			places := r.Perm(codeLength)
			erasures := r.IntN(roots + 1)
			errs := r.IntN((roots-erasures)/2 + 1)
			wrong := 0
			for i, p := range places[:erasures+errs] {
				if i >= erasures || r.IntN(3) > 0 { // what is erased may be right by chance
					bad[p] ^= byte(1 + r.IntN(255))
					wrong++
				}
			}
			n, err := d.decode(bad, places[:erasures])
			if err != nil || !bytes.Equal(bad, word) || n < wrong || n > erasures+errs {
				t.Fatalf("%d roots, %d erasures, %d errors: %d, %v", roots, erasures, errs, n, err)
			}
		}
	}
}

// TestDecodeTooMuch wants no panic and no wrong claim: a word that was "corrected"
// is a code word.
func TestDecodeTooMuch(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	refused := 0
	for roots := MinFECRoots; roots <= MaxFECRoots; roots++ {
		e := newEncoder(roots)
		d := decoder{encoder: e}
		for range 100 {
			bad := codeword(r, e)
			for range roots + 1 {
				bad[r.IntN(codeLength)] ^= byte(r.Uint32())
			}
			if _, err := d.decode(bad, r.Perm(codeLength)[:r.IntN(roots+3)]); errors.Is(err, errUncorrectable) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused < 1000 {
		t.Errorf("only %d words refused", refused)
	}
}
