//go:build linux && !guest

package devmapper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

func TestMangle(t *testing.T) {
	for name, want := range map[string]string{
		"usr": "usr", "#+-.:=@_": "#+-.:=@_", "a b": `a\x20b`, `a\x20b`: `a\x20b`, "ü": `\xc3\xbc`, `a\b`: `a\x5cb`,
		`a\x2`: `a\x5cx2`, "...": "...", "controls": "controls",
	} {
		got, err := Mangle(name)
		if err != nil || got != want {
			t.Errorf("%q became %q, %v, want %q", name, got, err, want)
		}
		if again, err := Mangle(got); err != nil || again != got {
			t.Errorf("%q became %q, %v", got, again, err)
		}
	}
	for _, name := range []string{"", ".", "..", "control", "a/b", "a\x00", `a\x20 b`, strings.Repeat("a", 128), strings.Repeat(" ", 32)} {
		if got, err := Mangle(name); !errors.Is(err, ErrName) {
			t.Errorf("%q became %q, %v", name, got, err)
		}
	}
	if got := Unmangle(`a\x20\x2g\x`); got != `a \x2g\x` {
		t.Errorf("%q", got)
	}
	if got := Path("a b"); got != `/dev/mapper/a\x20b` {
		t.Errorf("%q", got)
	}
}

func FuzzMangle(f *testing.F) {
	for _, s := range []string{"a", "a b", `\x20`, `\x2`, "..", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		m, err := Mangle(name)
		if err != nil {
			return
		}
		if len(m) > 127 || strings.ContainsAny(m, "/ \x00") {
			t.Fatalf("%q became %q", name, m)
		}
		if back := Unmangle(m); back != name && m != name {
			t.Fatalf("%q became %q and then %q", name, m, back)
		}
	})
}

// answer puts targets one behind the other, as the kernel does.
func answer(all []target) (b []byte) {
	for _, t := range all {
		one := t.marshal()
		at := len(b)
		b = append(b, one...)
		binary.NativeEndian.PutUint32(b[at+specNext:], uint32(len(b)))
	}
	return b
}

func TestParseTargets(t *testing.T) {
	want := []target{{0, 8, "verity", "V"}, {8, 16, "linear", "7:0 0"}, {24, 1, "error", ""}}
	b := answer(want)
	got, err := parseTargets(b, 3)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseTargets(nil, 0); err != nil || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) - 8 {
		if got, err := parseTargets(b[:n], 3); !errors.Is(err, unix.EPROTO) {
			t.Errorf("of %d bytes: %+v, %v", n, got, err)
		}
	}
	loop := bytes.Clone(b)
	binary.NativeEndian.PutUint32(loop[specNext:], 0)
	if _, err := parseTargets(loop, 3); !errors.Is(err, unix.EPROTO) {
		t.Error(err)
	}
}

func TestParseNames(t *testing.T) {
	entry := func(dev uint64, next uint32, name string) []byte {
		b := binary.NativeEndian.AppendUint64(nil, dev)
		b = append(binary.NativeEndian.AppendUint32(b, next), name...)
		return append(b, make([]byte, 1+int(max(next, 1)-1)%4096)...)
	}
	two := append(entry(65024, 24, "first")[:24], entry(65025, 0, "second")...)
	got, err := parseNames(two)
	if err != nil || !reflect.DeepEqual(got, []listed{{"first", 65024}, {"second", 65025}}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, none := range [][]byte{nil, entry(0, 0, "")} {
		if got, err := parseNames(none); err != nil || got != nil {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, b := range [][]byte{two[:5], two[:15], two[:24], entry(1, 4, "x"), entry(1, 99999, "x"), entry(1, 0, "x")[:13]} {
		if got, err := parseNames(b); !errors.Is(err, unix.EPROTO) {
			t.Errorf("%x: %+v, %v", b, got, err)
		}
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add(answer([]target{{0, 8, "verity", "V"}, {8, 8, "linear", "x"}}), 2)
	f.Add(append(make([]byte, 12), 0), 1)
	f.Add([]byte("V 1"), 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		// None of these may panic or go on for ever.
		_, _ = parseTargets(b, n&0xff)
		_, _ = parseNames(b)
		_, _ = parseVersion(b)
		if _, repaired, err := parseState(string(b)); err == nil && repaired < -1 {
			t.Errorf("%q: %d blocks repaired", b, repaired)
		}
	})
}

// TestParseState reads the state of a verity target as kernels tell it, from Linux 6.19 on
// with what error correction has done.
func TestParseState(t *testing.T) {
	for text, want := range map[string]struct {
		corrupted bool
		repaired  int64
	}{
		"V": {false, -1}, "C": {true, -1}, "V -": {false, -1}, "C -": {true, -1}, "V 0": {false, 0}, "C 12": {true, 12}, "V 3 new": {false, 3},
	} {
		if corrupted, repaired, err := parseState(text); err != nil || corrupted != want.corrupted || repaired != want.repaired {
			t.Errorf("%q: %v, %d, %v", text, corrupted, repaired, err)
		}
	}
	for _, text := range []string{"", " ", "X", "VC", "V x", "V -1", "V 99999999999999999999"} {
		if _, _, err := parseState(text); !errors.Is(err, unix.EPROTO) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseVersion(t *testing.T) {
	b := make([]byte, versionEnd)
	for i, n := range []uint32{1, 12, 3} {
		binary.NativeEndian.PutUint32(b[versionNumbers+4*i:], n)
	}
	if v, err := parseVersion(b); err != nil || v != (abi.Version{Major: 1, Minor: 12, Patch: 3}) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := parseVersion(b[:15]); !errors.Is(err, unix.EPROTO) {
		t.Error(err)
	}
}

func TestSupported(t *testing.T) {
	old := abi.Version{Major: 1, Minor: 2}
	for want, table := range map[string]dmverity.Table{
		"error correction needs dm-verity 1.3.0 (Linux 4.5), and this kernel's is 1.2.0": {FEC: &dmverity.FEC{}},
		"panic on corruption needs dm-verity 1.7.0 (Linux 5.9)":                          {OnCorruption: dmverity.PanicOnCorruption},
		"restart or panic on I/O errors needs dm-verity 1.10.0":                          {OnIOError: "panic_on_error"},
		"verifying in tasklets": {TryVerifyInTasklet: true},
		"a root hash signature": {SignatureKey: "x"},
		"checking at most once": {CheckAtMostOnce: true},
		"ignoring zero blocks":  {IgnoreZeroBlocks: true},
	} {
		var unsupported *UnsupportedError
		err := supported(table, old)
		if !errors.As(err, &unsupported) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if err := supported(table, unsupported.Need); err != nil {
			t.Error(err)
		}
	}
	if err := supported(dmverity.Table{OnCorruption: dmverity.RestartOnCorruption}, old); err != nil {
		t.Error(err)
	}
}

func TestUUID(t *testing.T) {
	r := Request{Table: dmverity.Table{Volume: dmverity.Volume{}}}
	if got := r.uuid("usr"); got != "CRYPT-VERITY-00000000000000000000000000000000-usr" {
		t.Error(got)
	}
	r.Table.NoSuperblock = true
	if got := r.uuid("usr"); got != "CRYPT-VERITY-usr" {
		t.Error(got)
	}
	if got := r.uuid(strings.Repeat("x", 127)); len(got) != 128 {
		t.Errorf("%d bytes", len(got))
	}
}
