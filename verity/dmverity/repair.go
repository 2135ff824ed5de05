package dmverity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// ErrUncorrectable says that parity cannot undo all errors.
var ErrUncorrectable = errors.New("more errors than parity can undo")

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

// restore decodes the block at an offset of the area into to.
func (m *matrix) restore(offset int64, to []byte, erased []int) error {
	d := decoder{encoder: m.area.encoder}
	place, first := int(offset/m.area.words), offset%m.area.words
	var one [codeLength]byte
	for at := 0; at < len(to); at += matrixWords {
		n := min(matrixWords, len(to)-at)
		if err := m.load(first+int64(at), n); err != nil {
			return err
		}
		for i := range n {
			m.word(i, &one)
			if _, err := d.decode(one[:], erased); err != nil {
				return err
			}
			to[at+i] = one[place]
		}
	}
	return nil
}

// repairer holds what Repair needs.
type repairer struct {
	area         *area
	matrix       *matrix
	tree         *merkle.Tree
	root         []byte
	data, hashes Device
	block        []byte
	repaired     []merkle.BadBlock
	err          error
}

// Repair verifies a volume and restores every bad block that parity can restore,
// in place. A block is only written if it then has the digest that it should have.
// Where errors are too many to be found by parity alone, blocks that fail their
// digest are taken as known to be wrong, as the kernel does. It returns the blocks
// that were written, tree before data where one depends on the other. If bad blocks
// remain, the error wraps ErrUncorrectable and a *merkle.CorruptError.
//
// Parity itself is not mended: EncodeFEC writes it anew.
func (im Image) Repair(ctx context.Context, root digest.Digest, opts merkle.Options) ([]merkle.BadBlock, error) {
	r, err := newRepairer(im, root)
	if err != nil {
		return nil, fmt.Errorf("repair volume: %w", err)
	}
	for {
		before := len(r.repaired)
		err := im.verify(ctx, root, r.repair, opts)
		var corrupt *merkle.CorruptError
		switch {
		case r.err != nil:
			return r.repaired, fmt.Errorf("repair volume: %w", r.err)
		case err == nil:
			return r.repaired, nil
		case !errors.As(err, &corrupt):
			return r.repaired, fmt.Errorf("repair volume: %w", err)
		case len(r.repaired) == before:
			return r.repaired, fmt.Errorf("repair volume: %w: %w", ErrUncorrectable, err)
		}
	}
}

func newRepairer(im Image, root digest.Digest) (*repairer, error) {
	a, err := newArea(im)
	if err != nil {
		return nil, err
	}
	tree, err := im.treeOf(root)
	if err != nil {
		return nil, err
	}
	return &repairer{
		area: a, matrix: &matrix{area: a, parity: im.Parity}, tree: tree, root: root.Bytes(),
		data: im.Data, hashes: im.Hashes, block: make([]byte, a.block),
	}, nil
}

// repair is told of each bad block while the volume is verified. What cannot be
// restored yet, because the block above is bad as well, is tried again when that
// has been restored.
func (r *repairer) repair(b merkle.BadBlock) {
	if r.err != nil || b.Want == nil {
		return
	}
	offset, device, at := b.Offset, r.data, b.Offset
	if b.Level != merkle.DataLevel {
		offset, device, at = r.area.split+b.Offset, r.hashes, r.area.hashAt+b.Offset
	}
	ok, err := r.restore(offset, b.Want)
	if err != nil || !ok {
		r.err = err
		return
	}
	if _, err := device.WriteAt(r.block, at); err != nil {
		r.err = fmt.Errorf("write block at %d: %w", at, err)
		return
	}
	r.repaired = append(r.repaired, b)
}

// restore finds the block with the digest wanted.
func (r *repairer) restore(offset int64, want []byte) (bool, error) {
	for _, erasures := range []func(int64) ([]int, error){
		func(int64) ([]int, error) { return nil, nil },
		r.erasures,
	} {
		erased, err := erasures(offset)
		if err != nil {
			return false, err
		}
		switch err := r.matrix.restore(offset, r.block, erased); {
		case errors.Is(err, errUncorrectable):
		case err != nil:
			return false, err
		case bytes.Equal(r.tree.Sum(r.block), want):
			return true, nil
		}
	}
	return false, nil
}

// erasures returns the places whose blocks, in the round of the one at an offset,
// do not have the digests that the tree has for them.
func (r *repairer) erasures(offset int64) (places []int, err error) {
	buf := make([]byte, r.area.block)
	round := offset % r.area.words / int64(r.area.block) * int64(r.area.block)
	for p := range r.area.places() {
		at := int64(p)*r.area.words + round
		want, err := r.want(at)
		if err != nil {
			return nil, err
		}
		if want == nil {
			continue
		}
		if err := r.area.read(buf, at); err != nil {
			return nil, err
		}
		if !bytes.Equal(r.tree.Sum(buf), want) {
			places = append(places, p)
		}
	}
	return places, nil
}

// want returns the digest that is stored for the block at an offset of the area,
// nil if there is none.
func (r *repairer) want(offset int64) ([]byte, error) {
	level, index, ok := merkle.DataLevel, offset/int64(r.area.block), true
	if offset >= r.area.split {
		level, index, ok = r.tree.Locate(offset - r.area.split)
	}
	if !ok {
		return nil, nil
	}
	slot := r.tree.Slot(level, index)
	if slot < 0 {
		return r.root, nil
	}
	sum := make([]byte, r.tree.DigestSize())
	if err := r.area.read(sum, r.area.split+slot); err != nil {
		return nil, err
	}
	return sum, nil
}
