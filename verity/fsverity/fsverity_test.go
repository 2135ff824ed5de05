package fsverity_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

func TestParams(t *testing.T) {
	for name, p := range map[string]fsverity.Params{
		"algorithm":      {Algorithm: "sha1"},
		"case":           {Algorithm: "SHA256"},
		"block of 32":    {BlockSize: 32},
		"one digest":     {BlockSize: 64, Algorithm: "sha512"},
		"block of 2M":    {BlockSize: 2 << 20},
		"block of 3000":  {BlockSize: 3000},
		"negative block": {BlockSize: -4096},
		"minimal block":  {BlockSize: math.MinInt},
		"salt":           {Salt: make([]byte, 33)},
	} {
		if _, err := fsverity.FileDigest(t.Context(), strings.NewReader("x"), 1, p, merkle.Options{}); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%s: FileDigest: %v", name, err)
		}
		if _, err := fsverity.NewWriter(p); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%s: NewWriter: %v", name, err)
		}
		if _, err := p.Tree(1); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%s: Tree: %v", name, err)
		}
	}
	if _, err := fsverity.FileDigest(t.Context(), strings.NewReader("x"), -1, fsverity.Params{}, merkle.Options{}); !errors.Is(err, fsverity.ErrParams) {
		t.Errorf("negative size: %v", err)
	}
	if _, err := fsverity.FileDigest(t.Context(), strings.NewReader("x"), 2, fsverity.Params{}, merkle.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short file: %v", err)
	}
}

// TestTree verifies a block with the tree that Build wrote, and one that changed.
func TestTree(t *testing.T) {
	file := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	p := fsverity.Params{BlockSize: 1024, Salt: []byte{1, 2, 3}}
	var hashes memory
	d, err := fsverity.Build(t.Context(), bytes.NewReader(file), int64(len(file)), &hashes, p, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := d.Params().Tree(d.FileSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.VerifyBlock(bytes.NewReader(file), bytes.NewReader(hashes.data), d.RootHash, 15); err != nil {
		t.Error(err)
	}
	file[15999] ^= 1
	var corrupt *merkle.CorruptError
	if err := tree.VerifyBlock(bytes.NewReader(file), bytes.NewReader(hashes.data), d.RootHash, 15); !errors.As(err, &corrupt) {
		t.Errorf("changed block: %v", err)
	}
}

// good is a descriptor that uses every field.
func good() fsverity.Descriptor {
	return fsverity.Descriptor{Algorithm: "sha256", BlockSize: 1024, Salt: []byte{9, 8, 7}, FileSize: 12345, RootHash: bytes.Repeat([]byte{5}, 32)}
}

func TestDescriptor(t *testing.T) {
	b, err := good().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d, err := fsverity.ParseDescriptor(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good(), d); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		at   int
		to   byte
		want string
	}{
		"version":      {0, 2, "version 2"},
		"algorithm":    {1, 3, "hash algorithm 3"},
		"small block":  {2, 5, "block size 2^5"},
		"large block":  {2, 21, "block size 2^21"},
		"huge block":   {2, 255, "block size 2^255"},
		"long salt":    {3, 33, "salt of 33 bytes"},
		"short salt":   {3, 2, "unused bytes are not zero"},
		"signature":    {4, 1, "signature of 1 bytes"},
		"huge file":    {15, 0x80, "file of 9223372036854788153 bytes"},
		"behind root":  {48, 1, "unused bytes are not zero"},
		"last of root": {79, 1, "unused bytes are not zero"},
		"behind salt":  {83, 1, "unused bytes are not zero"},
		"last":         {255, 1, "unused bytes are not zero"},
	} {
		bad := bytes.Clone(b)
		bad[c.at] = c.to
		if _, err := fsverity.ParseDescriptor(bad); !errors.Is(err, fsverity.ErrDescriptor) || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	bad := bytes.Clone(b)
	clear(bad[8:16])
	if _, err := fsverity.ParseDescriptor(bad); !errors.Is(err, fsverity.ErrDescriptor) {
		t.Errorf("empty file with a root: %v", err)
	}
	for _, n := range []int{0, 1, 255, 257} {
		if _, err := fsverity.ParseDescriptor(make([]byte, n)); !errors.Is(err, fsverity.ErrDescriptor) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestBadDescriptor(t *testing.T) {
	for name, spoil := range map[string]func(*fsverity.Descriptor){
		"no algorithm":  func(d *fsverity.Descriptor) { d.Algorithm = "" },
		"no block size": func(d *fsverity.Descriptor) { d.BlockSize = 0 },
		"block size":    func(d *fsverity.Descriptor) { d.BlockSize = 5 },
		"salt":          func(d *fsverity.Descriptor) { d.Salt = make([]byte, 33) },
		"negative file": func(d *fsverity.Descriptor) { d.FileSize = -1 },
		"root":          func(d *fsverity.Descriptor) { d.RootHash = d.RootHash[1:] },
	} {
		d := good()
		spoil(&d)
		if _, err := d.MarshalBinary(); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%s: MarshalBinary: %v", name, err)
		}
		if _, err := d.FileDigest(); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%s: FileDigest: %v", name, err)
		}
	}
}

func TestFormatted(t *testing.T) {
	d := digest.New("sha512", bytes.Repeat([]byte{0xab}, 64))
	measured, err := fsverity.MeasuredDigest(d)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x02\x00\x40\x00" + strings.Repeat("\xab", 64); string(measured) != want {
		t.Errorf("measured %x, want %x", measured, want)
	}
	formatted, err := fsverity.FormattedDigest(d)
	if err != nil || string(formatted) != "FSVerity"+string(measured) {
		t.Errorf("formatted %x, %v", formatted, err)
	}
	if got, err := fsverity.ParseMeasuredDigest(measured); err != nil || got != d {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := fsverity.ParseFormattedDigest(formatted); err != nil || got != d {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{
		"", "FSVerity", "FSVerity\x02\x00\x40", "FSverity" + string(measured), string(measured), string(formatted) + "x",
		string(formatted[:75]), "FSVerity\x01" + string(measured[1:]), "FSVerity\x02\x01" + string(measured[2:]), "FSVerity\x02\x00\x41\x00" + string(measured[4:]),
	} {
		if _, err := fsverity.ParseFormattedDigest([]byte(bad)); !errors.Is(err, fsverity.ErrFormatted) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	for _, d := range []digest.Digest{{}, digest.New("sha1", make([]byte, 20)), digest.New("sha256", make([]byte, 31))} {
		if _, err := fsverity.FormattedDigest(d); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// FuzzParseDescriptor wants what was read to be written the same.
func FuzzParseDescriptor(f *testing.F) {
	b, err := good().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(make([]byte, 256))
	f.Add([]byte("FSVerity"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := fsverity.ParseDescriptor(b)
		if err != nil {
			if !errors.Is(err, fsverity.ErrDescriptor) {
				t.Fatal(err)
			}
			return
		}
		again, err := d.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x as %+v and wrote %x, %v", b, d, again, err)
		}
		if _, err := d.FileDigest(); err != nil {
			t.Fatal(err)
		}
		if d.FileSize > 0 {
			if _, err := d.Params().Tree(d.FileSize); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseFormattedDigest(f *testing.F) {
	b, err := fsverity.FormattedDigest(digest.New("sha256", make([]byte, 32)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := fsverity.ParseFormattedDigest(b)
		if err != nil {
			return
		}
		if again, err := fsverity.FormattedDigest(d); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x as %v and wrote %x, %v", b, d, again, err)
		}
	})
}

// FuzzParseMeasuredDigest: what is read is written as it was, and is what the formatted
// digest says behind its magic.
func FuzzParseMeasuredDigest(f *testing.F) {
	b, err := fsverity.MeasuredDigest(digest.New("sha512", make([]byte, 64)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := fsverity.ParseMeasuredDigest(b)
		formatted, also := fsverity.ParseFormattedDigest(append([]byte("FSVerity"), b...))
		if (err == nil) != (also == nil) || !d.Equal(formatted) {
			t.Fatalf("%x is %v, %v, and formatted %v, %v", b, d, err, formatted, also)
		}
		if err != nil {
			return
		}
		if again, err := fsverity.MeasuredDigest(d); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read %x as %v and wrote %x, %v", b, d, again, err)
		}
	})
}
