package dmverity

import (
	"bytes"
	"errors"
)

// errUncorrectable says that a code word has more errors than its parity can undo.
var errUncorrectable = errors.New("too many errors in a code word")

// decoder corrects code words. It serves one goroutine.
type decoder struct {
	*encoder
	again [codeLength]byte // the word with the parity that it should have
}

// decode corrects word, of 255 bytes, in place and returns the number of bytes
// that were wrong. The bytes at the places in erased are known to be unreliable.
// Twice the errors and once the erasures may be as many as there are roots; with
// more, the result is an error or another code word.
func (d *decoder) decode(word []byte, erased []int) (int, error) {
	syndromes, clean := d.syndromes(word)
	if clean {
		return 0, nil
	}
	if len(erased) > d.roots {
		return 0, errUncorrectable
	}
	locator := d.locator(syndromes, erased)
	degree := polyDegree(locator)
	places := d.search(locator, degree)
	if len(places) != degree || degree == 0 {
		return 0, errUncorrectable
	}
	return d.correct(word, syndromes, locator[:degree+1], places), nil
}

// syndromes evaluates the word at the roots; clean means that all are zero. The
// word differs there by nothing but its parity from a code word, so that is enough
// to look at.
func (d *decoder) syndromes(word []byte) (s []byte, clean bool) {
	copy(d.again[:], word)
	d.encode(d.again[:])
	parity, want := word[codeLength-d.roots:], d.again[codeLength-d.roots:]
	if bytes.Equal(parity, want) {
		return nil, true
	}
	s = make([]byte, d.roots)
	for i := range s {
		for j, b := range parity {
			s[i] = d.field.mul(s[i], d.field.pow(i)) ^ b ^ want[j]
		}
	}
	return s, false
}

// power returns the power of x that belongs to a place in the word.
func power(place int) int { return codeLength - 1 - place }

// locator is the Berlekamp-Massey algorithm: the shortest polynomial, lowest
// power first, whose zeros are the inverses of the powers of all wrong places. It
// starts from the erased ones.
func (d *decoder) locator(s []byte, erased []int) []byte {
	lambda := make([]byte, d.roots+1)
	lambda[0] = 1
	for n, place := range erased {
		for j := n + 1; j > 0; j-- {
			lambda[j] ^= d.field.mul(lambda[j-1], d.field.pow(power(place)))
		}
	}
	b := append([]byte(nil), lambda...)
	length := len(erased)
	for r := len(erased) + 1; r <= d.roots; r++ {
		var discrepancy byte
		for i := range r {
			discrepancy ^= d.field.mul(lambda[i], s[r-1-i])
		}
		shifted := append([]byte{0}, b[:d.roots]...)
		if discrepancy == 0 {
			b = shifted
			continue
		}
		next := make([]byte, d.roots+1)
		for i := range next {
			next[i] = lambda[i] ^ d.field.mul(discrepancy, shifted[i])
		}
		if 2*length <= r-1+len(erased) {
			length = r + len(erased) - length
			for i := range b {
				b[i] = d.field.div(lambda[i], discrepancy)
			}
		} else {
			b = shifted
		}
		lambda = next
	}
	return lambda
}

func polyDegree(p []byte) int {
	for i := len(p) - 1; i > 0; i-- {
		if p[i] != 0 {
			return i
		}
	}
	return 0
}

// eval returns the value of a polynomial at x^n.
func (d *decoder) eval(p []byte, n int) (v byte) {
	for i := len(p) - 1; i >= 0; i-- {
		v = d.field.mul(v, d.field.pow(n)) ^ p[i]
	}
	return v
}

// search returns the places that the locator names.
func (d *decoder) search(locator []byte, degree int) (places []int) {
	for place := range codeLength {
		if d.eval(locator[:degree+1], codeLength-power(place)) == 0 {
			places = append(places, place)
		}
	}
	return places
}

// correct computes the errors by Forney's formula and takes them away.
func (d *decoder) correct(word, s, locator []byte, places []int) (wrong int) {
	omega := make([]byte, len(locator)-1)
	for i := range omega {
		for j := range i + 1 {
			omega[i] ^= d.field.mul(locator[j], s[i-j])
		}
	}
	slope := make([]byte, len(locator)-1) // the formal derivative
	for i := 1; i < len(locator); i += 2 {
		slope[i-1] = locator[i]
	}
	for _, place := range places {
		at := codeLength - power(place)
		// The first root is x^0, which leaves a factor of the place itself.
		e := d.field.mul(d.eval(omega, at), d.field.pow(power(place)))
		word[place] ^= d.field.div(e, d.eval(slope, at))
	}
	return len(places)
}
