package dmverity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// Limits of forward error correction.
const (
	MinFECRoots     = 2
	MaxFECRoots     = 24
	DefaultFECRoots = 2
)

// FEC is forward error correction of a volume: Reed-Solomon parity over its data,
// its hash tree and what follows on the hash device, in an area of its own.
//
// Each code word takes one byte from each of 255-Roots places that are as far from
// each other as possible, and Roots bytes of parity, which undo half as many wrong
// bytes, or as many if it is known which.
type FEC struct {
	// Roots is the number of parity bytes of a code word, 2 to 24.
	Roots int
	// Offset is where the parity begins on its device, in bytes: a multiple of the
	// data block size.
	Offset int64
	// OnHashDevice says that the parity is on the hash device, behind the hash tree.
	OnHashDevice bool
	// HashEnd is where the covered part of the hash device ends, in bytes. 0 stands
	// for Offset if the parity is on the hash device, else for the end of the hash
	// tree; veritysetup(8) then takes the size of the hash device.
	HashEnd int64
}

// Check says whether a volume can have this error correction. Errors wrap
// ErrParams.
func (f FEC) Check(v Volume) error {
	if f.Roots < MinFECRoots || f.Roots > MaxFECRoots {
		return fmt.Errorf("%w: %d FEC roots, not from %d to %d", ErrParams, f.Roots, MinFECRoots, MaxFECRoots)
	}
	if v.DataBlockSize != v.HashBlockSize {
		return fmt.Errorf("%w: FEC with data blocks of %d and hash blocks of %d bytes", ErrParams, v.DataBlockSize, v.HashBlockSize)
	}
	if f.Offset < 0 || f.Offset%int64(v.DataBlockSize) != 0 {
		return fmt.Errorf("%w: FEC offset %d, not a multiple of %d", ErrParams, f.Offset, v.DataBlockSize)
	}
	end, err := v.HashEnd()
	if err != nil {
		return err
	}
	if f.hashEnd(v) < end/int64(v.HashBlockSize)*int64(v.HashBlockSize) {
		return fmt.Errorf("%w: FEC up to %d, before the end of the hash tree at %d", ErrParams, f.hashEnd(v), end)
	}
	if v.DataSize() > math.MaxInt64/4 || f.hashEnd(v) > math.MaxInt64/4 || f.Offset > math.MaxInt64/4 {
		return fmt.Errorf("%w: too much for FEC", ErrParams)
	}
	return nil
}

// hashEnd expects v to be checked.
func (f FEC) hashEnd(v Volume) int64 {
	end := f.HashEnd
	switch {
	case end == 0 && f.OnHashDevice:
		end = f.Offset
	case end == 0:
		end, _ = v.HashEnd()
	}
	return end / int64(v.HashBlockSize) * int64(v.HashBlockSize)
}

// blocks returns the number of covered blocks, of data and hashes.
func (f FEC) blocks(v Volume) int64 {
	return v.DataBlocks + (f.hashEnd(v)-v.TreeOffset())/int64(v.HashBlockSize)
}

// rounds returns the number of blocks of which each place of a code word has one.
func (f FEC) rounds(v Volume) int64 {
	return (f.blocks(v)-1)/int64(codeLength-f.Roots) + 1
}

// Size returns the bytes of parity for a volume.
func (f FEC) Size(v Volume) int64 {
	return f.rounds(v) * int64(v.DataBlockSize) * int64(f.Roots)
}

// area is everything that is covered, as one row of bytes: place p of code word k
// is the byte p*words+k.
type area struct {
	FEC
	data, hashes io.ReaderAt
	split        int64 // where hashes begin
	hashAt       int64 // on their device
	size         int64
	words        int64 // number of code words
	block        int
	encoder      *encoder
}

func newArea(im Image) (*area, error) {
	if im.FEC == nil || im.Parity == nil {
		return nil, fmt.Errorf("%w: a volume without error correction", ErrParams)
	}
	v, f := im.Volume, *im.FEC
	if err := v.check(); err != nil {
		return nil, err
	}
	if err := f.Check(v); err != nil {
		return nil, err
	}
	block := int64(v.DataBlockSize)
	return &area{
		FEC: f, data: im.Data, hashes: im.Hashes, split: v.DataSize(), hashAt: v.TreeOffset(),
		size: f.blocks(v) * block, words: f.rounds(v) * block, block: int(block), encoder: newEncoder(f.Roots),
	}, nil
}

// places is how many bytes of a code word are not parity.
func (a *area) places() int { return codeLength - a.Roots }

// read fills buf from an offset of the area. Behind the area, and where a hash
// device has not been written yet, are zeros.
func (a *area) read(buf []byte, offset int64) error {
	for len(buf) > 0 {
		var n int
		switch {
		case offset < a.split:
			n = int(min(int64(len(buf)), a.split-offset))
			if k, err := a.data.ReadAt(buf[:n], offset); k < n {
				return fmt.Errorf("read %d bytes of data at %d: %w", n, offset, noEOF(err))
			}
		case offset < a.size:
			n = int(min(int64(len(buf)), a.size-offset))
			at := a.hashAt + offset - a.split
			k, err := a.hashes.ReadAt(buf[:n], at)
			if k < n && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read %d bytes of hashes at %d: %w", n, at, err)
			}
			clear(buf[k:n])
		default:
			n = len(buf)
			clear(buf)
		}
		buf, offset = buf[n:], offset+int64(n)
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file or device ends before: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// span is how many code words are computed together: few enough for the
// processor's cache.
const span = 16 << 10

// strip is the memory of one who computes parity.
type strip struct {
	input  []byte
	short  []uint64
	long   []state
	parity []byte
}

func (a *area) newStrip() *strip {
	n := int(min(span, a.words))
	s := &strip{input: make([]byte, n), parity: make([]byte, n*a.Roots)}
	if a.Roots <= 8 {
		s.short = make([]uint64, n)
	} else {
		s.long = make([]state, n)
	}
	return s
}

// encode computes the parity of n code words from the given one on.
func (a *area) encode(s *strip, short *[256]uint64, word int64, n int) ([]byte, error) {
	clear(s.short)
	clear(s.long)
	for p := range a.places() {
		if err := a.read(s.input[:n], int64(p)*a.words+word); err != nil {
			return nil, err
		}
		if s.short != nil {
			a.encoder.feedShort(s.short, short, s.input[:n])
		} else {
			a.encoder.feed(s.long, s.input[:n])
		}
	}
	for i := range n {
		var one state
		if s.short != nil {
			one[0] = s.short[i]
		} else {
			one = s.long[i]
		}
		one.parity(s.parity[i*a.Roots:][:a.Roots])
	}
	return s.parity[:n*a.Roots], nil
}

// each computes the parity of all code words on several goroutines, and calls
// done with parts of it.
func (a *area) each(ctx context.Context, opts merkle.Options, done func(word int64, parity []byte) error) error {
	workers := opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = int(min(int64(workers), 16, (a.words-1)/span+1))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var short [256]uint64
	for i := range short {
		short[i] = a.encoder.table[i][0]
	}
	var next, finished atomic.Int64
	var mu sync.Mutex
	work := func() {
		s := a.newStrip()
		for ctx.Err() == nil {
			word := (next.Add(1) - 1) * span
			if word >= a.words {
				return
			}
			n := int(min(span, a.words-word))
			parity, err := a.encode(s, &short, word, n)
			if err == nil {
				err = done(word, parity)
			}
			if err != nil {
				stop(err)
				return
			}
			mu.Lock()
			if all := finished.Add(int64(n)); opts.Progress != nil {
				opts.Progress(min(all*int64(a.places()), a.size))
			}
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return context.Cause(ctx)
}

// EncodeFEC computes the parity of a volume that has been formatted and writes it
// to Parity. Progress counts bytes of data and hashes. Errors are those of Format.
func (im Image) EncodeFEC(ctx context.Context, opts merkle.Options) error {
	a, err := newArea(im)
	if err != nil {
		return fmt.Errorf("encode FEC: %w", err)
	}
	err = a.each(ctx, opts, func(word int64, parity []byte) error {
		at := a.Offset + word*int64(a.Roots)
		if _, err := im.Parity.WriteAt(parity, at); err != nil {
			return fmt.Errorf("write parity at %d: %w", at, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("encode FEC: %w", err)
	}
	return nil
}
