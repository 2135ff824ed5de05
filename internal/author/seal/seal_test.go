package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/hint"
	"github.com/ipe-linux/ipe/sign"
)

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// quiet is progress that nobody watches.
type quiet struct{}

func (quiet) Add(int64)         {}
func (quiet) UpTo() func(int64) { return func(int64) {} }

// stamp is a key whose message is what it signed, and that counts who uses it at once.
type stamp struct {
	busy, most atomic.Int32
	refuse     string
}

func (s *stamp) Sign(content []byte, _ sign.Options) ([]byte, error) {
	s.most.Store(max(s.most.Load(), s.busy.Add(1)))
	defer s.busy.Add(-1)
	for range 1000 { // a second has its chance to come
		runtime.Gosched()
	}
	message := fmt.Sprintf("signed %x", content)
	if message == s.refuse {
		return nil, errors.New("no")
	}
	return []byte(message), nil
}

// run signs a tree and returns what became of each file: where the signature is, or the
// error.
func run(t *testing.T, s *Signer, tree *walk.Tree) (all []string) {
	t.Helper()
	s.Progress = quiet{}
	s.Create = func(name string, message []byte) error { return os.WriteFile(name, message, 0o644) }
	err := s.Run(t.Context(), tree, func(m *Signed) error {
		if m.Err != nil {
			all = append(all, m.Err.Error())
			return nil
		}
		all = append(all, m.Output)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSignBeside: in directories and for arguments, in order, each of its own content; a
// link where the signature is to be leads nowhere.
func TestSignBeside(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "tree/.a", "hidden", 0o644)
	write(t, "tree/a", "plain", 0o644)
	write(t, "tree/sub/b", "plain", 0o644)
	write(t, "one", "one", 0o644)
	write(t, "precious", "precious", 0o644)
	if err := os.Symlink("../precious", "tree/a.p7s"); err != nil {
		t.Fatal(err)
	}
	got := run(t, &Signer{Key: &stamp{}}, &walk.Tree{Args: []string{"./tree", "absent", "one"}, Without: SignatureSuffix})
	want := []string{"tree/.a.p7s", "tree/a.p7s", "tree/sub/b.p7s", "stat absent: no such file or directory", "one.p7s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if a, b := read(t, "tree/a.p7s"), read(t, "tree/sub/b.p7s"); a != b || a == read(t, "tree/.a.p7s") || !strings.HasPrefix(a, "signed ") {
		t.Errorf("%q and %q", a, b)
	}
	if got := read(t, "precious"); got != "precious" {
		t.Errorf("through a link, %q was written", got)
	}
}

// TestSignBelow: two files whose signatures would be in one place, and a key that refuses.
func TestSignBelow(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "x/sub/f", "f of x", 0o644)
	write(t, "y/sub/f", "f of y", 0o644)
	write(t, "y/sub/g", "g", 0o644)
	write(t, "sigs/keep", "", 0o644)
	below, err := os.OpenRoot("sigs")
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	key := &stamp{}
	got := run(t, &Signer{Key: key, Below: below}, &walk.Tree{Args: []string{"x", "y"}})
	want := []string{"sigs/sub/f.p7s", "y/sub/f: its signature would be in sigs/sub/f.p7s, where that of x/sub/f is", "sigs/sub/g.p7s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	key.refuse = read(t, "sigs/sub/g.p7s")
	if got := run(t, &Signer{Key: key, Below: below}, &walk.Tree{Args: []string{"y"}}); !slices.Equal(got, []string{"sigs/sub/f.p7s", "y/sub/g: no"}) {
		t.Errorf("%q", got)
	}
}

// TestSignStops: the first error of who is told is the end.
func TestSignStops(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "a", 0o644)
	write(t, dir+"/b", "b", 0o644)
	stop := errors.New("enough")
	s := &Signer{Key: &stamp{}, Progress: quiet{}}
	if err := s.Run(t.Context(), &walk.Tree{Args: []string{dir}}, func(*Signed) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/b.p7s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it went on: %v", err)
	}
}

// TestOneAtATime: a key that cannot sign twice at once is not asked to.
func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		write(t, fmt.Sprintf("%s/%03d", dir, i), "x", 0o644)
	}
	key := &stamp{}
	run(t, &Signer{Key: key, OneAtATime: true}, &walk.Tree{Args: []string{dir}})
	if n := key.most.Load(); n != 1 {
		t.Errorf("%d at once", n)
	}
}

// TestEnableFails: what cannot be enabled is named with the reason, in its turn; what is not
// asked for is not named.
func TestEnableFails(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/notes", "notes", 0o644)
	write(t, dir+"/run", "run", 0o755)
	write(t, dir+"/sub/other", "other", 0o755)
	var asked []string
	none := errors.New("no signature")
	e := &Enabler{Progress: quiet{}, DryRun: true, Signature: func(rel string) ([]byte, error) {
		if rel != "run" {
			return nil, nil
		}
		return nil, none
	}}
	err := e.Run(t.Context(), &walk.Tree{Args: []string{dir, dir + "/absent"}, Executable: true}, func(o *Outcome) error {
		name := strings.TrimPrefix(o.Path, dir+"/")
		asked = append(asked, name)
		switch {
		case name == "run" && (!errors.Is(o.Err, none) || o.Status != Failed || o.Size != 3 || !strings.HasPrefix(o.Err.Error(), o.Path+": ")):
			t.Errorf("%+v", o)
		case name == "absent" && (!errors.Is(o.Err, fs.ErrNotExist) || o.Status != Failed):
			t.Errorf("%+v", o)
		case (o.Err != nil) != (o.Status == Failed):
			t.Errorf("%+v", o)
		}
		return nil
	})
	if want := []string{"run", "sub/other", "absent"}; err != nil || !slices.Equal(asked, want) {
		t.Errorf("%q, %v; want %q", asked, err, want)
	}
}

// TestLock: two names of one file have one lock, and two files have two.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "", 0o644)
	write(t, dir+"/c", "", 0o644)
	if err := errors.Join(os.Link(dir+"/a", dir+"/b"), os.Link(dir+"/c", dir+"/d")); err != nil {
		t.Fatal(err)
	}
	open := func(name string) *walk.Handle {
		h, err := walk.Place{}.Named(dir + "/" + name).Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		return h
	}
	e := &Enabler{}
	unlock := e.lock(open("a"))
	e.lock(open("c"))() // another file is free
	l, ok := e.linked.Load(open("b").ID)
	if !ok || l.(*sync.Mutex).TryLock() {
		t.Fatalf("the second name does not wait for the first: %v", l)
	}
	unlock()
	e.lock(open("b"))()
}

// TestRemedy: an error with a remedy is what it was.
func TestRemedy(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("file: %w", &remediable{cause, "do this"})
	if !errors.Is(err, cause) || err.Error() != "file: cause" || hint.Of(err) != "do this" {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}
