package dmverity

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// matrixWords is how many code words are decoded together, with all their bytes
// in memory: about 1 MiB.
const matrixWords = 4096

// matrix holds some code words, place by place.
type matrix struct {
	area   *area
	parity io.ReaderAt
	from   int64 // first code word
	n      int   // number of code words
	bytes  []byte
}

// load reads n code words from the given one on.
func (m *matrix) load(word int64, n int) error {
	m.from, m.n = word, n
	if m.bytes == nil {
		m.bytes = make([]byte, codeLength*matrixWords)
	}
	for p := range m.area.places() {
		if err := m.area.read(m.bytes[p*n:(p+1)*n], int64(p)*m.area.words+word); err != nil {
			return err
		}
	}
	buf := make([]byte, n*m.area.Roots)
	at := m.area.Offset + word*int64(m.area.Roots)
	if k, err := m.parity.ReadAt(buf, at); k < len(buf) {
		return fmt.Errorf("read %d bytes of parity at %d: %w", len(buf), at, noEOF(err))
	}
	for i := range n {
		for j := range m.area.Roots {
			m.bytes[(m.area.places()+j)*n+i] = buf[i*m.area.Roots+j]
		}
	}
	return nil
}

// word gathers code word i of those that are loaded.
func (m *matrix) word(i int, to *[codeLength]byte) {
	for p := range to {
		to[p] = m.bytes[p*m.n+i]
	}
}

// CheckFEC decodes all code words and returns the number of wrong bytes in data,
// hashes and parity, as veritysetup(8) counts them; nothing is changed. If some
// code words have too many errors, the error wraps ErrUncorrectable. A word with
// many more errors than parity can undo may be counted as repairable: only Repair,
// which knows the root hash, can tell.
func (im Image) CheckFEC(ctx context.Context, opts merkle.Options) (wrong int64, err error) {
	a, err := newArea(im)
	if err != nil {
		return 0, fmt.Errorf("check FEC: %w", err)
	}
	var mu sync.Mutex
	m := &matrix{area: a, parity: im.Parity}
	err = a.each(ctx, opts, func(word int64, want []byte) error {
		got := make([]byte, len(want))
		at := a.Offset + word*int64(a.Roots)
		if k, err := im.Parity.ReadAt(got, at); k < len(got) {
			return fmt.Errorf("read %d bytes of parity at %d: %w", len(got), at, noEOF(err))
		}
		if bytes.Equal(got, want) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n, err := m.count(word, got, want)
		wrong += n
		return err
	})
	if err != nil {
		return wrong, fmt.Errorf("check FEC: %w", err)
	}
	return wrong, nil
}

// count decodes the code words whose parity is not what it should be.
func (m *matrix) count(word int64, got, want []byte) (wrong int64, err error) {
	roots := m.area.Roots
	d := decoder{encoder: m.area.encoder}
	var one [codeLength]byte
	for at := 0; at < len(got)/roots; at += matrixWords {
		n := min(matrixWords, len(got)/roots-at)
		part := func(b []byte) []byte { return b[at*roots : (at+n)*roots] }
		if bytes.Equal(part(got), part(want)) {
			continue
		}
		if err := m.load(word+int64(at), n); err != nil {
			return wrong, err
		}
		for i := range n {
			if k := (at + i) * roots; bytes.Equal(got[k:k+roots], want[k:k+roots]) {
				continue
			}
			m.word(i, &one)
			k, err := d.decode(one[:], nil)
			if err != nil {
				return wrong, fmt.Errorf("%w: code word %d", ErrUncorrectable, m.from+int64(i))
			}
			wrong += int64(k)
		}
	}
	return wrong, nil
}

// restore decodes the block at an offset of the area into to, and returns how many bytes
// were wrong in it and in those that share its code words.
func (m *matrix) restore(offset int64, to []byte, erased []int) (wrong int, err error) {
	d := decoder{encoder: m.area.encoder}
	place, first := int(offset/m.area.words), offset%m.area.words
	var one [codeLength]byte
	for at := 0; at < len(to); at += matrixWords {
		n := min(matrixWords, len(to)-at)
		if err := m.load(first+int64(at), n); err != nil {
			return wrong, err
		}
		for i := range n {
			m.word(i, &one)
			k, err := d.decode(one[:], erased)
			if err != nil {
				return wrong, err
			}
			wrong += k
			to[at+i] = one[place]
		}
	}
	return wrong, nil
}
