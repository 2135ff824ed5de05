package record

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/ruletab"
)

// FuzzDecode compares with encoding/binary, which reads the struct by its members: a
// record is refused if it is short or has a digest that no struct has room for, and only
// then, and what it says is what the struct says.
func FuzzDecode(f *testing.F) {
	e := denial()
	f.Add(bytesOf(f, e, "/bin/x"))
	e.Root.Len = 65
	f.Add(bytesOf(f, e, ""))
	f.Add(make([]byte, sizeOf[event]()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		ev, err := Decode(raw, wall)
		var e event
		n, short := binary.Decode(raw, binary.NativeEndian, &e)
		has := func(need uint32) bool { return e.Present&need != 0 }
		good := short == nil && (!has(ruletab.NeedRoot) || e.Root.Len <= ruletab.SumSize) && (!has(ruletab.NeedFile) || e.File.Len <= ruletab.SumSize)
		if good != (err == nil) {
			t.Fatalf("%v of %d bytes", err, len(raw))
		}
		if !good {
			return
		}
		if !ev.Time.Equal(wall(time.Duration(e.BootNs))) || ev.Generation != e.Generation || ev.PID != e.Tgid || ev.UID != e.UID || ev.Inode != e.Ino || ev.Enforcing != (e.Enforcing != 0) {
			t.Errorf("%+v of %+v", ev, e)
		}
		if want := ruletab.Event(e.Op, e.Hook, e.Present); ev.Event.Op != want.Op || ev.Event.Hook != want.Hook || ev.Event.Evidence.BootVerified != want.Evidence.BootVerified {
			t.Errorf("%+v of %+v", ev.Event, e)
		}
		same(t, "root hash", ev.Event.Evidence.RootHash, has(ruletab.NeedRoot), e.Root.Alg[:], e.Root.Sum[:], e.Root.Len)
		same(t, "file digest", ev.Event.Evidence.FileDigest, has(ruletab.NeedFile), e.File.Alg[:], e.File.Sum[:], e.File.Len)
		if e.HasFile == 0 && ev.Path != "" || e.HasFile != 0 && ev.Path != spellPath(pathKind(e.PathKind), raw[n:], e.Ino) {
			t.Errorf("path %q of %+v and %q", ev.Path, e, raw[n:])
		}
	})
}

// same wants a digest to be what the members say, and none without them.
func same(t *testing.T, what string, got digest.Digest, present bool, alg, sum []byte, n uint8) {
	t.Helper()
	want := digest.Digest{}
	if present {
		want = digest.New(string(alg[:slices.Index(append(slices.Clone(alg), 0), 0)]), sum[:n])
	}
	if got != want {
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

// FuzzUses: a stream is as many uses as it has whole structs, whatever its pieces, and an
// error if it ends within one.
func FuzzUses(f *testing.F) {
	one := bytesOf(f, mapped(), "")
	f.Add(one)
	f.Add(bytes.Repeat(one, 3))
	f.Add(one[:len(one)-1])
	f.Fuzz(func(t *testing.T, raw []byte) {
		uses, err := Uses(bytes.NewReader(raw))
		whole, rest := len(raw)/sizeOf[use](), len(raw)%sizeOf[use]()
		if err == nil && (rest != 0 || len(uses) != whole) {
			t.Fatalf("%d uses of %d bytes", len(uses), len(raw))
		}
		if err != nil && uses != nil {
			t.Errorf("%d uses and %v", len(uses), err)
		}
		for i, got := range uses {
			alone, err := Uses(bytes.NewReader(raw[i*sizeOf[use]():][:sizeOf[use]()]))
			if err != nil || len(alone) != 1 || alone[0] != got {
				t.Errorf("use %d is %+v alone, and %+v among others: %v", i, alone, got, err)
			}
		}
	})
}

// FuzzEachInUse: each struct is told of once, in order, byte for byte.
func FuzzEachInUse(f *testing.F) {
	f.Add(bytesOf(f, InUse{Inode: 1, Pid: 4, Fd: 3}, ""))
	f.Add(bytesOf(f, InUse{Inode: 1, Pid: 4, Start: 1, End: 2}, "\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var again []byte
		err := EachInUse(bytes.NewReader(raw), func(u InUse) error {
			again = append(again, bytesOf(t, u, "")...)
			return nil
		})
		if rest := len(raw) % sizeOf[InUse](); (err == nil) != (rest == 0) || !bytes.Equal(again, raw[:len(raw)-rest]) {
			t.Errorf("%x of %x: %v", again, raw, err)
		}
	})
}
