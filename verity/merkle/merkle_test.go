package merkle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// reference builds a tree the plain way, level by level, with everything in
// memory, and returns it root level first.
func reference(t *testing.T, p merkle.Params, data []byte) (root, tree []byte) {
	t.Helper()
	hash := func(block []byte) []byte {
		h, err := merkle.NewHash(p.Algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if !p.SaltLast {
			h.Write(p.Salt)
		}
		h.Write(block)
		if p.SaltLast {
			h.Write(p.Salt)
		}
		return h.Sum(nil)
	}
	sums := [][]byte{}
	for at := 0; at < len(data); at += p.DataBlockSize {
		block := make([]byte, p.DataBlockSize)
		copy(block, data[at:])
		sums = append(sums, hash(block))
	}
	perBlock := 1
	for perBlock*2*len(sums[0]) <= p.HashBlockSize {
		perBlock *= 2
	}
	stride := len(sums[0])
	if !p.Packed {
		for stride = 1; stride < len(sums[0]); {
			stride *= 2
		}
	}
	for len(sums) > 1 {
		var level []byte
		var up [][]byte
		for len(sums) > 0 {
			block := make([]byte, p.HashBlockSize)
			n := min(perBlock, len(sums))
			for i, s := range sums[:n] {
				copy(block[i*stride:], s)
			}
			sums = sums[n:]
			level = append(level, block...)
			up = append(up, hash(block))
		}
		tree, sums = append(level, tree...), up
	}
	return sums[0], tree
}

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

func randomParams(r *rand.Rand) merkle.Params {
	algs := merkle.Algorithms()
	p := merkle.Params{
		Algorithm:     algs[r.IntN(len(algs))],
		DataBlockSize: 64 << r.IntN(8),
		HashBlockSize: 128 << r.IntN(7),
		Salt:          make([]byte, r.IntN(257)),
		SaltLast:      r.IntN(3) == 0,
		Packed:        r.IntN(3) == 0,
	}
	if r.IntN(3) == 0 { // has a way of its own through the hasher
		p.Algorithm = "sha256"
	}
	if r.IntN(10) == 0 {
		p.DataBlockSize, p.HashBlockSize = 64<<10<<r.IntN(5), 64<<10
	}
	for i := range p.Salt {
		p.Salt[i] = byte(r.Uint32())
	}
	return p
}

// randomData has random and zero blocks, and a size that need not be whole.
func randomData(r *rand.Rand, p merkle.Params) []byte {
	data := make([]byte, 1+r.IntN(min(p.DataBlockSize*(1+r.IntN(100)), 6<<20)))
	for at := 0; at < len(data); at += p.DataBlockSize {
		if r.IntN(4) > 0 {
			block := data[at:min(at+p.DataBlockSize, len(data))]
			for i := range block {
				block[i] = byte(r.Uint32())
			}
		}
	}
	return data
}

func TestReference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for i := range 300 {
		p := randomParams(r)
		data := randomData(r, p)
		name := fmt.Sprintf("%d: %d bytes, %+v", i, len(data), p)
		wantRoot, wantTree := reference(t, p, data)
		tree, err := merkle.New(p, int64(len(data)))
		if err != nil {
			t.Fatal(name, err)
		}
		if tree.Size() != int64(len(wantTree)) || tree.DigestSize() != len(wantRoot) {
			t.Fatalf("%s: tree of %d, digest of %d, want %d, %d", name, tree.Size(), tree.DigestSize(), len(wantTree), len(wantRoot))
		}
		opts := merkle.Options{Workers: r.IntN(6)}
		var at, stream memory
		for way, build := range map[string]func() ([]byte, error){
			"at":     func() ([]byte, error) { return tree.Build(t.Context(), bytes.NewReader(data), &at, opts) },
			"stream": func() ([]byte, error) { return tree.BuildFrom(t.Context(), bytes.NewReader(data), &stream, opts) },
			"root":   func() ([]byte, error) { return tree.Build(t.Context(), bytes.NewReader(data), nil, opts) },
			"writer": func() ([]byte, error) { return written(t, r, p, data), nil },
		} {
			root, err := build()
			if err != nil || !bytes.Equal(root, wantRoot) {
				t.Fatalf("%s, %s: root %x, %v, want %x", name, way, root, err, wantRoot)
			}
		}
		if !bytes.Equal(at.data, wantTree) || !bytes.Equal(stream.data, wantTree) {
			t.Fatalf("%s: trees differ from the reference", name)
		}
		if err := tree.Verify(t.Context(), bytes.NewReader(data), bytes.NewReader(wantTree), wantRoot, nil, opts); err != nil {
			t.Fatal(name, err)
		}
		if err := tree.VerifyBlock(bytes.NewReader(data), bytes.NewReader(wantTree), wantRoot, r.Int64N(tree.DataBlocks())); err != nil {
			t.Fatal(name, err)
		}
	}
}

func written(t *testing.T, r *rand.Rand, p merkle.Params, data []byte) []byte {
	t.Helper()
	w, err := merkle.NewWriter(p)
	if err != nil {
		t.Fatal(err)
	}
	if r.IntN(2) == 0 { // it has been used before
		w.Write(bytes.Repeat([]byte{1}, r.IntN(200*p.DataBlockSize)))
		if r.IntN(2) == 0 {
			w.Root()
		}
		w.Reset()
	}
	for rest := data; len(rest) > 0; {
		n := min(r.IntN(3*p.DataBlockSize), len(rest))
		if k, err := w.Write(rest[:n]); k != n || err != nil {
			t.Fatalf("write %d bytes: %d, %v", n, k, err)
		}
		rest = rest[n:]
	}
	root, size := w.Root()
	if size != int64(len(data)) {
		t.Fatalf("size %d, want %d", size, len(data))
	}
	return root
}

// TestFlips changes one bit at a time and wants it found where it is.
func TestFlips(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	for i := range 300 {
		p := randomParams(r)
		data := randomData(r, p)
		root, hashes := reference(t, p, data)
		tree, err := merkle.New(p, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		area, level := data, merkle.DataLevel
		if len(hashes) > 0 && i%2 == 0 {
			area, level = hashes, 0
		}
		at := r.IntN(len(area))
		area[at] ^= 1 << r.IntN(8)
		for n := range tree.Levels() {
			if offset, blocks := tree.Level(n); level >= 0 && int64(at) >= offset && int64(at) < offset+blocks*int64(p.HashBlockSize) {
				level = n
			}
		}
		// A flipped digest accuses the block below as well; it comes first.
		var bad []merkle.BadBlock
		err = tree.Verify(t.Context(), bytes.NewReader(data), bytes.NewReader(hashes), root,
			func(b merkle.BadBlock) { bad = append(bad, b) }, merkle.Options{Workers: 2})
		var corrupt *merkle.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Count != int64(len(bad)) || len(bad) > 2 {
			t.Fatalf("%d: %v, reported %v", i, err, bad)
		}
		last := bad[len(bad)-1]
		if last.Level != level || int64(at) < last.Offset || int64(at) >= last.Offset+last.Length {
			t.Fatalf("%d: flipped byte %d of level %d, found %v", i, at, level, bad)
		}
		for index := range tree.DataBlocks() {
			err := tree.VerifyBlock(bytes.NewReader(data), bytes.NewReader(hashes), root, index)
			if trusted := index < last.First || index >= last.First+last.Count; trusted != (err == nil) {
				t.Fatalf("%d: data block %d: %v, but bad is %+v", i, index, err, last)
			}
		}
	}
}

// TestWrongRoot wants the top accused, whatever the number of levels.
func TestWrongRoot(t *testing.T) {
	p := merkle.Params{Algorithm: "sha512", DataBlockSize: 512, HashBlockSize: 512}
	for size, want := range map[int]string{
		512:  "data block 0 (bytes 0 to 511)",
		1024: "hash block 0 of level 0 (bytes 0 to 511 of the tree)",
		4609: "hash block 0 of level 1 (bytes 0 to 511 of the tree)",
	} {
		data := bytes.Repeat([]byte{7}, size)
		_, hashes := reference(t, p, data)
		tree, err := merkle.New(p, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		err = tree.Verify(t.Context(), bytes.NewReader(data), bytes.NewReader(hashes), make([]byte, 64), nil, merkle.Options{})
		if err == nil || !strings.HasSuffix(err.Error(), want+" is corrupt") {
			t.Errorf("%d bytes: %v, want %s", size, err, want)
		}
	}
}

func TestGeometry(t *testing.T) {
	p := merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}
	for _, c := range []struct {
		size           int64
		levels, blocks int64
	}{
		{1, 0, 0}, {4096, 0, 0}, {4097, 1, 1}, {128 * 4096, 1, 1}, {128*4096 + 1, 2, 3}, {128 * 128 * 4096, 2, 129},
		{128*128*4096 + 1, 3, 132}, {math.MaxInt64, 8, 1<<44 + 1<<37 + 1<<30 + 1<<23 + 1<<16 + 1<<9 + 4 + 1},
	} {
		tree, err := merkle.New(p, c.size)
		if err != nil {
			t.Fatal(err)
		}
		if int64(tree.Levels()) != c.levels || tree.Blocks() != c.blocks || tree.Size() != c.blocks*4096 {
			t.Errorf("%d bytes: %d levels, %d blocks, %d bytes; want %d, %d", c.size, tree.Levels(), tree.Blocks(), tree.Size(), c.levels, c.blocks)
		}
		if diff := cmp.Diff(p, tree.Params()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParams(t *testing.T) {
	good := merkle.Params{Algorithm: "sha512", DataBlockSize: 64, HashBlockSize: 65536}
	if _, err := merkle.New(good, 1); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*merkle.Params, *int64){
		"no data":          func(_ *merkle.Params, size *int64) { *size = 0 },
		"negative size":    func(_ *merkle.Params, size *int64) { *size = math.MinInt64 },
		"data block 0":     func(p *merkle.Params, _ *int64) { p.DataBlockSize = 0 },
		"data block -512":  func(p *merkle.Params, _ *int64) { p.DataBlockSize = -512 },
		"data block 32":    func(p *merkle.Params, _ *int64) { p.DataBlockSize = 32 },
		"data block 2 MiB": func(p *merkle.Params, _ *int64) { p.DataBlockSize = 2 << 20 },
		"one digest":       func(p *merkle.Params, _ *int64) { p.HashBlockSize = 64 },
		"hash block 4095":  func(p *merkle.Params, _ *int64) { p.HashBlockSize = 4095 },
		"minimal int":      func(p *merkle.Params, _ *int64) { p.HashBlockSize = math.MinInt },
	} {
		p, size := good, int64(1)
		spoil(&p, &size)
		if _, err := merkle.New(p, size); !errors.Is(err, merkle.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "SHA256", "sha-256", "md5"} {
		p := good
		p.Algorithm = name
		if _, err := merkle.New(p, 1); !errors.Is(err, merkle.ErrAlgorithm) {
			t.Errorf("New %q: %v", name, err)
		}
		if _, err := merkle.NewWriter(p); !errors.Is(err, merkle.ErrAlgorithm) {
			t.Errorf("NewWriter %q: %v", name, err)
		}
		if _, err := merkle.NewHash(name); !errors.Is(err, merkle.ErrAlgorithm) {
			t.Errorf("NewHash %q: %v", name, err)
		}
	}
}

// TestAlgorithms compares the sizes with those that package digest knows.
func TestAlgorithms(t *testing.T) {
	both := 0
	for _, name := range merkle.Algorithms() {
		h, err := merkle.NewHash(name)
		if err != nil {
			t.Fatal(err)
		}
		if size, ok := digest.AlgorithmSize(name); ok {
			both++
			if size != h.Size() {
				t.Errorf("%s: %d bytes, package digest says %d", name, h.Size(), size)
			}
		}
	}
	if both < 8 {
		t.Errorf("only %d algorithms in common with package digest", both)
	}
}

func TestShortData(t *testing.T) {
	tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	short := bytes.NewReader(make([]byte, 1<<20-1))
	if _, err := tree.Build(t.Context(), short, nil, merkle.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Build: %v", err)
	}
	if _, err := tree.BuildFrom(t.Context(), short, nil, merkle.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("BuildFrom: %v", err)
	}
	data := bytes.NewReader(make([]byte, 1<<20))
	if err := tree.Verify(t.Context(), data, short, make([]byte, 32), nil, merkle.Options{}); err == nil {
		t.Error("Verify took another tree")
	}
	if err := tree.Verify(t.Context(), data, bytes.NewReader(nil), make([]byte, 32), nil, merkle.Options{}); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the file or device ends before") {
		t.Errorf("Verify without a tree: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) WriteAt([]byte, int64) (int, error) { return 0, w.err }

func TestFaults(t *testing.T) {
	tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 512, HashBlockSize: 512}, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	fault := errors.New("fault")
	if _, err := tree.BuildFrom(t.Context(), iotest.ErrReader(fault), nil, merkle.Options{Workers: 3}); !errors.Is(err, fault) {
		t.Errorf("read: %v", err)
	}
	data := bytes.NewReader(make([]byte, 4<<20))
	if _, err := tree.Build(t.Context(), data, brokenWriter{fault}, merkle.Options{Workers: 3}); !errors.Is(err, fault) {
		t.Errorf("write: %v", err)
	}
	// The end of the lowest level is written last of all.
	if _, err := tree.Build(t.Context(), data, fullWriter{fault, tree.Size()}, merkle.Options{Workers: 3}); !errors.Is(err, fault) {
		t.Errorf("write the end of a level: %v", err)
	}
}

// fullWriter fails where a write ends at or behind a place.
type fullWriter struct {
	err error
	end int64
}

func (w fullWriter) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) >= w.end {
		return 0, w.err
	}
	return len(p), nil
}

// endless is data without end that cancels its context after a while.
type endless struct {
	cancel func(error)
	cause  error
	after  int64
}

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	if off > e.after {
		e.cancel(e.cause)
	}
	return len(p), nil
}

func TestCancel(t *testing.T) {
	tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	for _, workers := range []int{1, 3} {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := tree.Build(ctx, endless{cancel, cause, 4 << 20}, nil, merkle.Options{Workers: workers})
		if !errors.Is(err, cause) {
			t.Errorf("%d workers: %v", workers, err)
		}
	}
}

func TestProgress(t *testing.T) {
	const size = 10<<20 + 1
	tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}, size)
	if err != nil {
		t.Fatal(err)
	}
	last, calls := int64(0), 0
	_, err = tree.Build(t.Context(), bytes.NewReader(make([]byte, size)), nil, merkle.Options{Workers: 4, Progress: func(done int64) {
		if done <= last {
			t.Errorf("%d after %d", done, last)
		}
		last, calls = done, calls+1
	}})
	if err != nil || last != size || calls < 10 {
		t.Errorf("%d calls, the last with %d: %v", calls, last, err)
	}
}

// TestAllocations wants none for a block.
func TestAllocations(t *testing.T) {
	for _, salt := range []int{0, 32, 64, 256} {
		w, err := merkle.NewWriter(merkle.Params{Algorithm: "sha256", DataBlockSize: 512, HashBlockSize: 4096, Salt: make([]byte, salt)})
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 4096)
		block[7] = 1
		w.Write(block)
		n := testing.AllocsPerRun(100, func() {
			for i := range block {
				block[i]++
			}
			w.Write(block)
		})
		if n > 0 {
			t.Errorf("salt of %d bytes: %v allocations", salt, n)
		}
	}
}

// TestSlots finds every block's digest where Slot says it is.
func TestSlots(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 3))
	for range 50 {
		p := randomParams(r)
		data := randomData(r, p)
		root, hashes := reference(t, p, data)
		tree, err := merkle.New(p, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, make([]byte, int(tree.DataBlocks())*p.DataBlockSize-len(data))...)
		for n := merkle.DataLevel; n < tree.Levels(); n++ {
			offset, blocks := tree.Level(n)
			from, size := hashes[offset:], p.HashBlockSize
			if n == merkle.DataLevel {
				from, size = data, p.DataBlockSize
			}
			for i := range blocks {
				want := root
				if slot := tree.Slot(n, i); slot >= 0 {
					want = hashes[slot:][:tree.DigestSize()]
				} else if n != tree.Levels()-1 {
					t.Fatalf("%+v: block %d of level %d has no slot", p, i, n)
				}
				if got := tree.Sum(from[int(i)*size:][:size]); !bytes.Equal(got, want) {
					t.Fatalf("%+v: block %d of level %d: %x, want %x", p, i, n, got, want)
				}
				if n == merkle.DataLevel {
					continue
				}
				at := offset + i*int64(size) + r.Int64N(int64(size))
				if gotN, gotI, ok := tree.Locate(at); !ok || gotN != n || gotI != i {
					t.Fatalf("%+v: byte %d is in block %d of level %d, want %d of %d", p, at, gotI, gotN, i, n)
				}
			}
		}
		for _, at := range []int64{-1, tree.Size(), math.MinInt64, math.MaxInt64} {
			if _, _, ok := tree.Locate(at); ok {
				t.Errorf("%+v: byte %d is in the tree", p, at)
			}
		}
	}
}
