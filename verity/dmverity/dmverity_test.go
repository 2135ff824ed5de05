package dmverity_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// good is a superblock that uses every field.
func good() dmverity.Superblock {
	s := dmverity.Default()
	s.UUID = dmverity.UUID{0x11, 0x22, 0x33, 15: 0xff}
	s.DataBlocks = 1000
	s.Salt = []byte{1, 2, 3}
	return s
}

func TestSuperblock(t *testing.T) {
	b, err := good().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := dmverity.ParseSuperblock(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good(), s); diff != "" {
		t.Error(diff)
	}
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		spoil func([]byte) []byte
		want  string
	}{
		"empty":             {func(b []byte) []byte { return nil }, "0 bytes instead of 512"},
		"short":             {func(b []byte) []byte { return b[:511] }, "511 bytes instead of 512"},
		"long":              {func(b []byte) []byte { return append(b, 0) }, "513 bytes instead of 512"},
		"signature":         {func(b []byte) []byte { b[7] = 1; return b }, "no signature"},
		"version":           {func(b []byte) []byte { b[8] = 2; return b }, "version 2"},
		"hash type":         {func(b []byte) []byte { b[12] = 2; return b }, "hash type 2"},
		"huge hash type":    {func(b []byte) []byte { le.PutUint32(b[12:], math.MaxUint32); return b }, "hash type 4294967295"},
		"algorithm":         {func(b []byte) []byte { b[32] = 'x'; return b }, `unknown hash algorithm "xha256"`},
		"long algorithm":    {func(b []byte) []byte { copy(b[32:], strings.Repeat("a", 32)); return b }, "unknown hash algorithm"},
		"data block 0":      {func(b []byte) []byte { le.PutUint32(b[64:], 0); return b }, "data block size 0"},
		"data block":        {func(b []byte) []byte { le.PutUint32(b[64:], 1<<31); return b }, "data block size 2147483648"},
		"hash block":        {func(b []byte) []byte { le.PutUint32(b[68:], 4097); return b }, "hash block size 4097"},
		"huge hash block":   {func(b []byte) []byte { le.PutUint32(b[68:], 1<<17); return b }, "hash block size 131072"},
		"negative data":     {func(b []byte) []byte { le.PutUint64(b[72:], 1<<63); return b }, "9223372036854775808 data blocks"},
		"data overflow":     {func(b []byte) []byte { le.PutUint64(b[72:], 1<<51); return b }, "2251799813685248 data blocks"},
		"long salt":         {func(b []byte) []byte { le.PutUint16(b[80:], 257); return b }, "salt of 257 bytes"},
		"another structure": {func(b []byte) []byte { return bytes.Repeat([]byte("verity\x00\x00"), 64) }, "version 1769104758"},
	} {
		_, err := dmverity.ParseSuperblock(c.spoil(bytes.Clone(b)))
		if !errors.Is(err, dmverity.ErrSuperblock) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestSuperblockOfOthers reads what this package does not write, and veritysetup(8) takes.
func TestSuperblockOfOthers(t *testing.T) {
	b, err := good().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func([]byte){
		"behind algorithm": func(b []byte) { b[63] = 1 },
		"capitals":         func(b []byte) { copy(b[32:], "SHA256") },
		"before the salt":  func(b []byte) { b[82] = 1 },
		"behind the salt":  func(b []byte) { b[343] = 1 },
		"last":             func(b []byte) { b[511] = 1 },
	} {
		c := bytes.Clone(b)
		spoil(c)
		s, err := dmverity.ParseSuperblock(c)
		if diff := cmp.Diff(good(), s); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	binary.LittleEndian.PutUint64(b[72:], 0)
	v, err := dmverity.ReadSuperblock(bytes.NewReader(b), 0)
	if err != nil || v.DataBlocks != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if n := v.Of(4096*7 + 4095).DataBlocks; n != 7 {
		t.Errorf("%d data blocks, want 7", n)
	}
	if n := (dmverity.Volume{Superblock: good()}).Of(1 << 40).DataBlocks; n != 1000 {
		t.Errorf("%d data blocks, want those of the superblock", n)
	}
	if _, err := v.HashEnd(); !errors.Is(err, dmverity.ErrParams) {
		t.Errorf("a volume without data: %v", err)
	}
	text, err := dmverity.Dump(v, digest.Digest{}, nil)
	for _, want := range []string{"Data blocks:     \t0\n", "Hash blocks:     \t0\n", "Hash device size: \t4096 [bytes]\n"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%v, no %q in\n%s", err, want, text)
		}
	}
}

func TestReadSuperblock(t *testing.T) {
	b, err := good().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	device := append(make([]byte, 1024), b...)
	v, err := dmverity.ReadSuperblock(bytes.NewReader(device), 1024)
	if err != nil || v.HashOffset != 1024 || v.TreeOffset() != 4096 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, offset := range []int64{-512, 1, 1023, 1025, math.MinInt64} {
		if _, err := dmverity.ReadSuperblock(bytes.NewReader(device), offset); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	for _, offset := range []int64{512, 1536, 1 << 40} {
		if _, err := dmverity.ReadSuperblock(bytes.NewReader(device), offset); !errors.Is(err, dmverity.ErrSuperblock) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	fault := errors.New("fault")
	if _, err := dmverity.ReadSuperblock(broken{fault}, 0); !errors.Is(err, fault) {
		t.Error(err)
	}
}

// broken is a device of which nothing works.
type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error)  { return 0, b.err }
func (b broken) WriteAt([]byte, int64) (int, error) { return 0, b.err }

// TestBadVolumes wants clear errors, at once, for what cannot be.
func TestBadVolumes(t *testing.T) {
	root := digest.New("sha256", make([]byte, 32))
	fec := dmverity.FEC{Roots: 2}
	for name, spoil := range map[string]func(*dmverity.Volume){
		"hash type":           func(v *dmverity.Volume) { v.HashType = -1 },
		"negative data":       func(v *dmverity.Volume) { v.DataBlocks = math.MinInt64 },
		"overflow":            func(v *dmverity.Volume) { v.DataBlocks = math.MaxInt64 },
		"no block size":       func(v *dmverity.Volume) { v.DataBlockSize = 0 },
		"negative block size": func(v *dmverity.Volume) { v.DataBlockSize = math.MinInt },
		"hash block size":     func(v *dmverity.Volume) { v.HashBlockSize = 100 },
		"salt":                func(v *dmverity.Volume) { v.Salt = make([]byte, 257) },
		"offset":              func(v *dmverity.Volume) { v.HashOffset = 1000 },
		"negative offset":     func(v *dmverity.Volume) { v.HashOffset = -512 },
		"huge offset":         func(v *dmverity.Volume) { v.HashOffset = math.MaxInt64/512*512 - 512 },
		"offset of hashes":    func(v *dmverity.Volume) { v.HashOffset, v.NoSuperblock = 512, true },
	} {
		v := dmverity.Volume{Superblock: good()}
		spoil(&v)
		_, err1 := dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}}.Format(t.Context(), merkle.Options{})
		err2 := dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}}.Verify(t.Context(), root, nil, merkle.Options{})
		err3 := dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}, Parity: &memory{}, FEC: &fec}.EncodeFEC(t.Context(), merkle.Options{})
		_, err4 := dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}, Parity: &memory{}, FEC: &fec}.CheckFEC(t.Context(), merkle.Options{})
		_, err5 := dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}, Parity: &memory{}, FEC: &fec}.Repair(t.Context(), root, merkle.Options{})
		_, err6 := dmverity.Dump(v, root, nil)
		_, err7 := v.HashEnd()
		_, err8 := dmverity.Table{Volume: v, Root: root, DataDevice: "a", HashDevice: "b"}.Line()
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
			if !errors.Is(err, dmverity.ErrParams) {
				t.Errorf("%s, %d: %v", name, i+1, err)
			}
		}
	}
}

func TestBadFEC(t *testing.T) {
	for name, spoil := range map[string]func(*dmverity.Volume, *dmverity.FEC){
		"no roots":         func(_ *dmverity.Volume, f *dmverity.FEC) { f.Roots = 0 },
		"one root":         func(_ *dmverity.Volume, f *dmverity.FEC) { f.Roots = 1 },
		"too many roots":   func(_ *dmverity.Volume, f *dmverity.FEC) { f.Roots = 25 },
		"offset":           func(_ *dmverity.Volume, f *dmverity.FEC) { f.Offset = 512 },
		"negative offset":  func(_ *dmverity.Volume, f *dmverity.FEC) { f.Offset = -4096 },
		"huge offset":      func(_ *dmverity.Volume, f *dmverity.FEC) { f.Offset = 1 << 62 },
		"before the end":   func(_ *dmverity.Volume, f *dmverity.FEC) { f.HashEnd = 4096 },
		"among the hashes": func(_ *dmverity.Volume, f *dmverity.FEC) { f.Offset, f.OnHashDevice = 4096, true },
		"far end":          func(_ *dmverity.Volume, f *dmverity.FEC) { f.HashEnd = math.MaxInt64 },
		"block sizes":      func(v *dmverity.Volume, _ *dmverity.FEC) { v.HashBlockSize = 512 },
		"much data":        func(v *dmverity.Volume, _ *dmverity.FEC) { v.DataBlocks = 1 << 50 },
	} {
		v, f := dmverity.Volume{Superblock: good()}, dmverity.FEC{Roots: 2}
		spoil(&v, &f)
		if err := (dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}, Parity: &memory{}, FEC: &f}).EncodeFEC(t.Context(), merkle.Options{}); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%s: EncodeFEC: %v", name, err)
		}
		if _, err := dmverity.Dump(v, digest.Digest{}, &f); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%s: Dump: %v", name, err)
		}
	}
}

// TestWrongRoots wants root hashes of another kind refused.
func TestWrongRoots(t *testing.T) {
	v := dmverity.Volume{Superblock: good()}
	for _, root := range []digest.Digest{{}, digest.New("sha1", make([]byte, 20)), digest.New("sha256", make([]byte, 31)), digest.New("SHA256", make([]byte, 32))} {
		if err := (dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}}).Verify(t.Context(), root, nil, merkle.Options{}); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%v: %v", root, err)
		}
	}
	v.Algorithm = "md5"
	if _, err := (dmverity.Image{Volume: v, Data: &memory{}, Hashes: &memory{}}).Format(t.Context(), merkle.Options{}); !errors.Is(err, merkle.ErrAlgorithm) {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	fault := errors.New("fault")
	v := dmverity.Volume{Superblock: good()}
	data := &memory{data: make([]byte, v.DataSize())}
	var hash, parity memory
	root, err := dmverity.Image{Volume: v, Data: data, Hashes: &hash}.Format(t.Context(), merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := dmverity.FEC{Roots: 2}
	if err := (dmverity.Image{Volume: v, Data: data, Hashes: &hash, Parity: &parity, FEC: &f}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
		t.Fatal(err)
	}
	_, err1 := dmverity.Image{Volume: v, Data: data, Hashes: broken{fault}}.Format(t.Context(), merkle.Options{})
	_, err2 := dmverity.Image{Volume: v, Data: broken{fault}, Hashes: &memory{}}.Format(t.Context(), merkle.Options{})
	err3 := dmverity.Image{Volume: v, Data: data, Hashes: broken{fault}, Parity: &memory{}, FEC: &f}.EncodeFEC(t.Context(), merkle.Options{})
	err4 := dmverity.Image{Volume: v, Data: data, Hashes: &hash, Parity: broken{fault}, FEC: &f}.EncodeFEC(t.Context(), merkle.Options{})
	_, err5 := dmverity.Image{Volume: v, Data: data, Hashes: &hash, Parity: broken{fault}, FEC: &f}.CheckFEC(t.Context(), merkle.Options{})
	data.data[5] = 1
	_, err6 := dmverity.Image{Volume: v, Data: data, Hashes: &hash, Parity: broken{fault}, FEC: &f}.Repair(t.Context(), root, merkle.Options{})
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		if !errors.Is(err, fault) {
			t.Errorf("%d: %v", i+1, err)
		}
	}
	short := &memory{data: data.data[:1000]}
	if err := (dmverity.Image{Volume: v, Data: short, Hashes: &hash, Parity: &parity, FEC: &f}).EncodeFEC(t.Context(), merkle.Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short data: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (dmverity.Image{Volume: v, Data: data, Hashes: &hash, Parity: &memory{}, FEC: &f}).EncodeFEC(ctx, merkle.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUUID(t *testing.T) {
	a, b := dmverity.NewUUID(), dmverity.NewUUID()
	if a == b || a[6]>>4 != 4 || a[8]>>6 != 2 {
		t.Errorf("%v, %v", a, b)
	}
	for _, s := range []string{a.String(), strings.ToUpper(a.String())} {
		if got, err := dmverity.ParseUUID(s); err != nil || got != a {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-", strings.ReplaceAll(a.String(), "-", ""), a.String() + "0", a.String()[1:] + "0", "g" + a.String()[1:], a.String() + "-"} {
		if _, err := dmverity.ParseUUID(s); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if salt := dmverity.NewSalt(); len(salt) != 32 || bytes.Equal(salt, dmverity.NewSalt()) {
		t.Errorf("salt %x", salt)
	}
}

func TestTable(t *testing.T) {
	root := digest.New("sha256", bytes.Repeat([]byte{0xab}, 32))
	plain := dmverity.Table{Volume: dmverity.Volume{Superblock: good()}, Root: root, DataDevice: "/dev/loop0", HashDevice: "7:1"}
	const want = "0 8000 verity 1 /dev/loop0 7:1 4096 4096 1000 1 sha256 abababababababababababababababababababababababababababababababab 010203"
	if line, err := plain.Line(); err != nil || line != want {
		t.Errorf("%s, %v, want %s", line, err, want)
	}
	all := plain
	all.OnCorruption, all.OnIOError = dmverity.RestartOnCorruption, "restart_on_error"
	all.IgnoreZeroBlocks, all.CheckAtMostOnce, all.TryVerifyInTasklet = true, true, true
	all.SignatureKey = "ipe:1"
	all.FEC, all.FECDevice = &dmverity.FEC{Roots: 24, Offset: 8192}, "/dev/loop2"
	const options = " 15 restart_on_corruption restart_on_error ignore_zero_blocks check_at_most_once " +
		"use_fec_from_device /dev/loop2 fec_start 2 fec_blocks 1009 fec_roots 24 root_hash_sig_key_desc ipe:1 try_verify_in_tasklet"
	if line, err := all.Line(); err != nil || line != want+options {
		t.Errorf("%s, %v, want %s", line, err, want+options)
	}
	bare := plain
	bare.Salt, bare.NoSuperblock, bare.HashOffset = nil, true, 8192
	if params, err := bare.Params(); err != nil || !strings.HasPrefix(params, "1 /dev/loop0 7:1 4096 4096 1000 2 ") || !strings.HasSuffix(params, "ab -") {
		t.Errorf("%s, %v", params, err)
	}
	for name, spoil := range map[string]func(*dmverity.Table){
		"no device":     func(t *dmverity.Table) { t.DataDevice = "" },
		"blank":         func(t *dmverity.Table) { t.HashDevice = "/dev/x 1" },
		"backslash":     func(t *dmverity.Table) { t.HashDevice = `/dev/x\1` },
		"no FEC device": func(t *dmverity.Table) { t.FECDevice = "" },
		"key":           func(t *dmverity.Table) { t.SignatureKey = "a\nb" },
		"corruption":    func(t *dmverity.Table) { t.OnCorruption = "restart" },
		"error":         func(t *dmverity.Table) { t.OnIOError = "ignore" },
		"root":          func(t *dmverity.Table) { t.Root = digest.Digest{} },
		"FEC":           func(t *dmverity.Table) { t.FEC = &dmverity.FEC{} },
	} {
		bad := all
		spoil(&bad)
		if _, err := bad.Line(); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParseSuperblock wants what was read to be the same when it has been written, and to
// describe a volume that can be reckoned with.
func FuzzParseSuperblock(f *testing.F) {
	b, err := good().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:100])
	f.Add(make([]byte, 512))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := dmverity.ParseSuperblock(b)
		if err != nil {
			if !errors.Is(err, dmverity.ErrSuperblock) {
				t.Fatal(err)
			}
			return
		}
		v := dmverity.Volume{Superblock: s}.Of(1 << 20)
		written, err := v.MarshalBinary()
		if err != nil {
			t.Fatalf("read %x as %+v: %v", b, s, err)
		}
		if again, err := dmverity.ParseSuperblock(written); err != nil || !cmp.Equal(again, v.Superblock) {
			t.Fatalf("read %x as %+v, wrote %x and read %+v, %v", b, v, written, again, err)
		}
		if end, err := v.HashEnd(); err != nil || end < v.TreeOffset() {
			t.Fatalf("%+v: hash area from %d to %d, %v", s, v.TreeOffset(), end, err)
		}
		if _, err := (dmverity.Image{Volume: v, Data: dmverity.ReadOnly(bytes.NewReader(nil)), Hashes: &memory{}}).Format(t.Context(), merkle.Options{Workers: 1}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%+v: Format without data: %v", s, err)
		}
	})
}
