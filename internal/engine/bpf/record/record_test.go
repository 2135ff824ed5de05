package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/layouttest"
	"github.com/ipe-linux/ipe/internal/ruletab"
	"github.com/ipe-linux/ipe/internal/strict"
	"github.com/ipe-linux/ipe/policy"
)

// TestLayout: what is decoded has the layout of C's structs in the committed objects.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		object, name string
		goType       reflect.Type
	}{
		{"../ipe_bpfel.o", "event", reflect.TypeFor[event]()},
		{"../recall/survey_bpfel.o", "use", reflect.TypeFor[use]()},
		{"../recall/recall_bpfel.o", "in_use", reflect.TypeFor[InUse]()},
	} {
		types, err := btf.LoadSpec(tt.object)
		if err != nil {
			t.Fatal(err)
		}
		layouttest.Compare(t, types, tt.name, tt.goType)
	}
}

// wall stands for the clock of a machine that was booted when Unix time began.
func wall(sinceBoot time.Duration) time.Time { return time.Unix(0, int64(sinceBoot)).UTC() }

// bytesOf is a struct as the kernel writes it.
func bytesOf(t testing.TB, v any, tail string) []byte {
	t.Helper()
	raw, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, tail...)
}

func algorithm(name string) (field [ruletab.AlgSize]byte) {
	copy(field[:], name)
	return field
}

func sum(text string) (field [ruletab.SumSize]byte) {
	copy(field[:], text)
	return field
}

// denial is a record with everything in it.
func denial() event {
	e := event{
		BootNs: 12e9, Generation: 3, Ino: 77, Tgid: 42, UID: 1000, First: 2*5 + 1,
		Present: ruletab.NeedRoot | ruletab.NeedFile | ruletab.NeedRootSigned,
		Op:      uint8(policy.OpExecute), Hook: uint8(eval.HookMmap), Enforcing: 1, HasFile: 1, PathKind: uint8(pathDeleted),
		Root: eventDigest{Alg: algorithm("sha256"), Sum: sum("root"), Len: 4},
		File: eventDigest{Alg: algorithm("sha512"), Sum: sum(strings.Repeat("x", ruletab.SumSize)), Len: ruletab.SumSize},
	}
	copy(e.Comm[:], "sh")
	copy(e.Device[:], "dm-0")
	return e
}

func TestDecode(t *testing.T) {
	got, err := Decode(bytesOf(t, denial(), "/bin/x"), wall)
	if err != nil {
		t.Fatal(err)
	}
	want := engine.Event{
		Time: time.Unix(12, 0).UTC(), Generation: 3, Enforcing: true, PID: 42, UID: 1000, Comm: "sh", Device: "dm-0", Inode: 77,
		Path:     "/bin/x (deleted)",
		Decision: eval.Decision{Action: policy.Deny, Scope: policy.ScopeRule, Rule: 5},
		Event: eval.Event{Op: policy.OpExecute, Hook: eval.HookMmap, Evidence: eval.Evidence{
			RootHashSigned: true,
			RootHash:       digest.New("sha256", []byte("root")),
			FileDigest:     digest.New("sha512", bytes.Repeat([]byte("x"), ruletab.SumSize)),
		}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b digest.Digest) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// TestDecodeRule: a record of a strict rule says which, and nothing of a policy.
func TestDecodeRule(t *testing.T) {
	e := denial()
	e.Op, e.Hook, e.Present, e.Root, e.File = 0xff, uint8(strict.Ptrace), 0, eventDigest{}, eventDigest{}
	got, err := Decode(bytesOf(t, e, "/bin/x"), wall)
	if err != nil || got.Rule != strict.Ptrace || got.Decision.Action != policy.Deny || got.Event != (eval.Event{}) || got.Comm != "sh" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, rule := range []uint8{uint8(strict.None), uint8(strict.Count), 0xff} {
		e.Hook = rule
		if _, err := Decode(bytesOf(t, e, ""), wall); err == nil || !strings.Contains(err.Error(), "strict rule") {
			t.Errorf("rule %d: %v", rule, err)
		}
	}
}

// TestDecodeRefuses: what the programs never write is an error, and no panic.
func TestDecodeRefuses(t *testing.T) {
	if _, err := Decode(bytesOf(t, denial(), "")[:sizeOf[event]()-1], wall); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a record cut short: %v", err)
	}
	root, file := denial(), denial()
	root.Root.Len, file.File.Len = ruletab.SumSize+1, 255
	for want, e := range map[string]event{"root hash: digest of 65 bytes": root, "file digest: digest of 255 bytes": file} {
		if _, err := Decode(bytesOf(t, e, ""), wall); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func mapped() use {
	u := use{
		From: 0x1000, To: 0x3000, Ino: 9, Dev: 253<<minorBits | 2, Pid: 42, Kind: uint32(engine.Mapped), Flags: useHasFile | useUnlinked,
		Facts: facts{Present: ruletab.NeedBoot | ruletab.NeedFile, File: ruletab.Key{Alg: algorithm("sha256"), Sum: sum("file"), Len: 4}},
	}
	copy(u.Comm[:], "sh")
	return u
}

func TestUses(t *testing.T) {
	raw := bytesOf(t, mapped(), "")
	got, err := Uses(bytes.NewReader(bytes.Repeat(raw, 300))) // more than one buffer
	if err != nil || len(got) != 300 {
		t.Fatalf("%d uses, %v", len(got), err)
	}
	want := engine.Use{
		Kind: engine.Mapped, PID: 42, Comm: "sh", From: 0x1000, To: 0x3000, HasFile: true, Unlinked: true, Major: 253, Minor: 2, Inode: 9,
		Evidence: eval.Evidence{BootVerified: true, FileDigest: digest.New("sha256", []byte("file"))},
	}
	if diff := cmp.Diff(want, got[299], cmp.Comparer(func(a, b digest.Digest) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if _, err := Uses(bytes.NewReader(raw[:len(raw)-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a use cut short: %v", err)
	}
	bad := mapped()
	bad.Facts.File.Len = 65
	if _, err := Uses(bytes.NewReader(bytesOf(t, bad, ""))); err == nil || !strings.Contains(err.Error(), "file digest") {
		t.Errorf("a long digest: %v", err)
	}
}

func TestEachInUse(t *testing.T) {
	raw := append(bytesOf(t, InUse{Pid: 4, Fd: 3}, ""), bytesOf(t, InUse{Pid: 4, Start: 0x1000, End: 0x2000}, "")...)
	var links []string
	if err := EachInUse(bytes.NewReader(raw), func(u InUse) error {
		links = append(links, u.Link())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/proc/4/fd/3", "/proc/4/map_files/1000-2000"}, links); diff != "" {
		t.Error(diff)
	}
	stop := errors.New("stop")
	if err := EachInUse(bytes.NewReader(raw), func(InUse) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want %v", err, stop)
	}
}
