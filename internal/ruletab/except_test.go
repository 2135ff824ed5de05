package ruletab

import (
	"maps"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestExcept: exceptions of one identity are one entry, and each kind of identity has its key.
func TestExcept(t *testing.T) {
	file, root := digest.New("sha256", []byte{1, 2}), digest.New("sha512", []byte{3, 4, 5})
	path := profile.Identity{Root: root, Path: "/usr/bin/node"}
	x := Except([]profile.Exception{
		{Rule: strict.MapWX, Action: strict.Off, Identity: path},
		{Rule: strict.Ptrace, Action: strict.Monitor, Identity: path},
		{Identity: path},
		{Identity: profile.Identity{File: file}},
		{Identity: profile.Identity{File: file, Root: root}},
	})
	if x.Kinds != 1<<ByFile|1<<ByRootFile|1<<ByPath || len(x.Numbers) != 3 || len(x.Allowed) != 3 {
		t.Fatalf("%+v", x)
	}
	id, kind, ok := identify(path)
	if !ok || kind != ByPath || id.Root.Len != 3 || id.File != (Key{}) || !strings.HasSuffix(string(id.Path[:]), "\x00/usr/bin/node") {
		t.Errorf("%+v, %d, %t", id, kind, ok)
	}
	got := x.Allowed[x.Numbers[id]]
	want := Exception{AnonExec: 1}
	want.Rules[strict.MapWX], want.Rules[strict.Ptrace] = 1, 2
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestExceptShort: what tells in short who is not excepted knows each that is.
func TestExceptShort(t *testing.T) {
	file, root := digest.New("sha256", []byte{1, 2}), digest.New("sha512", []byte{3, 4, 5})
	const long = "x86_64-linux-gnu-interpreter"
	x := Except([]profile.Exception{
		{Identity: profile.Identity{Root: root, Path: "/usr/bin/node"}},
		{Identity: profile.Identity{Root: root, Path: "/lib/node"}},
		{Identity: profile.Identity{Root: root, Path: "/" + long}},
		{Identity: profile.Identity{File: file}},
		{Identity: profile.Identity{File: file, Root: root}},
	})
	want := map[NameEnd]uint8{
		{Len: 4, End: [NameEndSize]byte{'n', 'o', 'd', 'e'}}:                                   1,
		{Len: uint32(len(long)), End: [NameEndSize]byte([]byte(long[len(long)-NameEndSize:]))}: 1,
	}
	if !maps.Equal(x.Names, want) {
		t.Errorf("names %v, want %v", x.Names, want)
	}
	if !maps.Equal(x.Digests, map[Key]uint8{RootKey(file): 1}) {
		t.Errorf("digests %v", x.Digests)
	}
}

// TestExceptNumbers: they are the same in each build, or a process would lose its
// exceptions by an upgrade.
func TestExceptNumbers(t *testing.T) {
	id, _, _ := identify(profile.Identity{Root: digest.New("sha256", []byte{1}), Path: "/a"})
	if got, want := id.number(), uint64(0x287b03329d13800f); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// TestExceptUnknown: what no kernel could ever find has no key, and neither has what would
// be found everywhere.
func TestExceptUnknown(t *testing.T) {
	long := digest.New("sha256", make([]byte, SumSize+1))
	for name, i := range map[string]profile.Identity{
		"nothing": {}, "root hash alone": {Root: digest.New("sha256", []byte{1})}, "path alone": {Path: "/a"},
		"a file that does not fit": {File: long}, "a volume that does not fit": {Root: long, Path: "/a"},
		"a path that does not fit": {Root: digest.New("sha256", []byte{1}), Path: "/" + strings.Repeat("a", profile.MaxPath)},
		"a path and a file":        {File: digest.New("sha256", []byte{1}), Path: "/a"},
	} {
		if x := Except([]profile.Exception{{Identity: i}}); x.Kinds != 0 || len(x.Numbers)+len(x.Allowed) != 0 {
			t.Errorf("%s: %+v", name, x)
		}
	}
}
