package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
	"github.com/ipe-linux/ipe/policy"
)

func v(major, minor, rev uint16) policy.Version {
	return policy.Version{Major: major, Minor: minor, Rev: rev}
}

func entry(name string, version policy.Version) store.Entry {
	return store.Entry{Name: name, Version: version, Envelope: []byte(name + " " + version.String())}
}

func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// dump is all that a store shows.
type dump struct {
	Entries []store.Entry
	Active  string
	Mode    store.Mode
	Floors  map[string]policy.Version
}

func dumpOf(t testing.TB, s *store.Store) dump {
	t.Helper()
	d := dump{Mode: s.Mode(), Floors: s.Floors()}
	d.Active, _ = s.Active()
	for _, item := range s.List() {
		e, err := s.Get(item.Name)
		ok(t, err)
		if e.Version != item.Version || sha256.Sum256(e.Envelope) != item.SHA256 {
			t.Errorf("Get and List differ: %+v %+v", e, item)
		}
		d.Entries = append(d.Entries, e)
	}
	return d
}

// reopen closes s and opens its directory again.
func reopen(t testing.TB, s *store.Store, dir string) *store.Store {
	t.Helper()
	ok(t, s.Close())
	return open(t, dir)
}

func TestNewStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	want := dump{Mode: store.Mode{Enforce: true}, Floors: map[string]policy.Version{}}
	if diff := cmp.Diff(want, dumpOf(t, s)); diff != "" {
		t.Error(diff)
	}
	for path, perm := range map[string]fs.FileMode{"": 0o700 | fs.ModeDir, "policies": 0o700 | fs.ModeDir, "index": 0o600, "copy": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != perm {
			t.Errorf("%q: %v, %v", path, info, err)
		}
	}
}

func TestEverythingSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	names := []string{"a", "a/b", "..", "x\x01\xff\v", strings.Repeat("n", policy.MaxName)}
	want := dump{Active: "a/b", Mode: store.Mode{SuccessAudit: true}, Floors: map[string]policy.Version{"a/b": v(2, 0, 65535)}}
	for _, n := range []string{"..", "a", "a/b", names[4], names[3]} {
		want.Entries = append(want.Entries, entry(n, v(2, 0, 65535)))
	}
	for _, n := range names {
		ok(t, s.Put(entry(n, v(2, 0, 65535))))
	}
	ok(t, s.SetActive("a/b"))
	ok(t, s.SetMode(want.Mode))
	if diff := cmp.Diff(want, dumpOf(t, s)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, dumpOf(t, reopen(t, s, dir))); diff != "" {
		t.Error(diff)
	}
}

func TestFloor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	checkFloor := func(want policy.Version, wantOK bool) {
		t.Helper()
		if got, has := s.Floor("p"); got != want || has != wantOK {
			t.Errorf("floor %v %v, want %v %v", got, has, want, wantOK)
		}
	}
	ok(t, s.Put(entry("p", v(1, 0, 0))))
	checkFloor(v(0, 0, 0), false)
	ok(t, s.Replace(entry("p", v(0, 9, 0)))) // never active: any version will do
	ok(t, s.Replace(entry("p", v(1, 0, 0))))
	ok(t, s.SetActive("p"))
	checkFloor(v(1, 0, 0), true)
	ok(t, s.Replace(entry("p", v(1, 2, 0))))
	checkFloor(v(1, 2, 0), true)
	ok(t, s.Put(entry("q", v(0, 0, 1)))) // floors are by name
	ok(t, s.SetActive("q"))
	ok(t, s.Replace(entry("p", v(3, 0, 0)))) // inactive: no change
	checkFloor(v(1, 2, 0), true)
	ok(t, s.Delete("p"))
	s = reopen(t, s, dir)
	checkFloor(v(1, 2, 0), true)
	checkStale(t, s.Put(entry("p", v(1, 1, 9))), v(1, 2, 0), v(1, 1, 9))
	ok(t, s.Put(entry("p", v(1, 2, 0))))
	checkStale(t, s.Replace(entry("p", v(0, 65535, 0))), v(1, 2, 0), v(0, 65535, 0))
}

func checkStale(t *testing.T, err error, have, got policy.Version) {
	t.Helper()
	var stale *store.StaleError
	if !errors.As(err, &stale) || *stale != (store.StaleError{Name: "p", Have: have, Got: got}) {
		t.Errorf("got %v", err)
	}
}

func TestErrors(t *testing.T) {
	s := open(t, t.TempDir())
	ok(t, s.Put(entry("p", v(1, 0, 0))))
	ok(t, s.SetActive("p"))
	_, getErr := s.Get("q")
	before := dumpOf(t, s)
	tests := []struct {
		name      string
		err, want error
	}{
		{"get", getErr, store.ErrNotFound},
		{"put twice", s.Put(entry("p", v(2, 0, 0))), store.ErrExists},
		{"put without name", s.Put(entry("", v(1, 0, 0))), store.ErrName},
		{"put long name", s.Put(entry(strings.Repeat("n", policy.MaxName+1), v(1, 0, 0))), store.ErrName},
		{"put nothing", s.Put(store.Entry{Name: "q"}), store.ErrLimit},
		{"put long envelope", s.Put(store.Entry{Name: "q", Envelope: make([]byte, store.MaxEnvelope+1)}), store.ErrLimit},
		{"replace unknown", s.Replace(entry("q", v(1, 0, 0))), store.ErrNotFound},
		{"delete unknown", s.Delete("q"), store.ErrNotFound},
		{"delete active", s.Delete("p"), store.ErrActive},
		{"activate unknown", s.SetActive("q"), store.ErrNotFound},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	if diff := cmp.Diff(before, dumpOf(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestMaxPolicies(t *testing.T) {
	s, err := store.OpenOn(storetest.Healthy(), t.TempDir())
	ok(t, err)
	defer func() { ok(t, s.Close()) }()
	for i := range store.MaxPolicies {
		ok(t, s.Put(entry(fmt.Sprint(i), v(1, 0, 0))))
	}
	if err := s.Put(entry("more", v(1, 0, 0))); !errors.Is(err, store.ErrLimit) {
		t.Errorf("got %v", err)
	}
	ok(t, s.Replace(entry("0", v(1, 0, 0))))
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("got %v", err)
	}
	ok(t, s.Close())
	ok(t, s.Close())
	if err := s.SetMode(store.Mode{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("changed a closed store: %v", err)
	}
	open(t, dir)
}

func TestNoGarbage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	same := []byte("same bytes under two names")
	ok(t, s.Put(store.Entry{Name: "p", Envelope: same}))
	ok(t, s.Put(store.Entry{Name: "q", Envelope: same}))
	ok(t, s.Replace(entry("p", v(1, 0, 0))))
	ok(t, s.Replace(entry("p", v(2, 0, 0))))
	ok(t, s.Replace(entry("p", v(2, 0, 0))))
	if files := envelopes(t, dir); len(files) != 2 {
		t.Errorf("files %v", files)
	}
	ok(t, s.Delete("q"))
	ok(t, s.Delete("p"))
	if files := envelopes(t, dir); len(files) != 0 {
		t.Errorf("files %v", files)
	}
}

func envelopes(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "policies", "*"))
	ok(t, err)
	return files
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	for i := range 32 {
		ok(b, s.Put(store.Entry{Name: fmt.Sprint(i), Envelope: make([]byte, 4096+i)}))
	}
	ok(b, s.Close())
	for b.Loop() {
		s, err := store.Open(dir)
		ok(b, err)
		ok(b, s.Close())
	}
}
