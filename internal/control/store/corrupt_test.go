package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/control/store"
	"github.com/ipe-linux/ipe/internal/control/store/storetest"
	"github.com/ipe-linux/ipe/policy"
)

func create(file string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600) }
}

func envelopeFile(e store.Entry) string {
	return fmt.Sprintf("policies/%x.p7b", sha256.Sum256(e.Envelope))
}

// quick opens a store on a disk that does not sync.
func quick(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.OpenOn(storetest.Healthy(), dir)
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

// essential is what no single damage may cost.
type essential struct {
	Active   string
	Envelope string
	Mode     store.Mode
	Floors   map[string]policy.Version
}

func essentialOf(t testing.TB, s *store.Store) essential {
	t.Helper()
	name, _ := s.Active()
	e, err := s.Get(name)
	if err != nil {
		t.Errorf("active policy: %v", err)
	}
	return essential{name, string(e.Envelope), s.Mode(), s.Floors()}
}

// contents are those of all files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	ok(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

func wantProblem(t *testing.T, s *store.Store, word string) {
	t.Helper()
	if !slices.ContainsFunc(s.Problems(), func(err error) bool { return strings.Contains(err.Error(), word) }) {
		t.Errorf("problems %q, want %q", s.Problems(), word)
	}
}

// TestDamage spoils each file in each way: the store opens, the active policy, the mode
// and the floors are what they were, now and at the next start, nothing that was there
// is gone, and changes are possible.
func TestDamage(t *testing.T) {
	idle := envelopeFile(entry("idle", v(1, 0, 0)))
	for _, file := range []string{"index", "copy", envelopeFile(entry("p", v(1, 5, 0))), idle} {
		for _, d := range storetest.Damages() {
			t.Run(filepath.Base(file)+" "+d.Name, func(t *testing.T) {
				t.Parallel()
				dir := prepare(t)
				s := quick(t, dir)
				want := essentialOf(t, s)
				ok(t, s.SetMode(store.Mode{SuccessAudit: true}), s.Close())
				want.Mode = store.Mode{SuccessAudit: true}
				ok(t, d.Do(filepath.Join(dir, file)))
				before := slices.Collect(maps.Values(contents(t, dir)))
				s = quick(t, dir)
				if diff := cmp.Diff(want, essentialOf(t, s)); diff != "" {
					t.Error(diff)
				}
				_, idleErr := s.Get("idle")
				if file == idle && !d.Harmless {
					if !errors.Is(idleErr, store.ErrCorrupt) || !strings.Contains(idleErr.Error(), filepath.Base(idle)) {
						t.Errorf("inactive policy: %v", idleErr)
					}
				} else if len(s.Problems()) == 0 || idleErr != nil {
					t.Errorf("problems %q, inactive policy %v", s.Problems(), idleErr)
				}
				after := slices.Collect(maps.Values(contents(t, dir)))
				for _, text := range before {
					if !slices.Contains(after, text) {
						t.Errorf("%.40q is gone", text)
					}
				}
				ok(t, s.Close())
				s = quick(t, dir)
				ok(t, s.Put(entry("new", v(1, 0, 0))))
				ok(t, s.Close())
				if diff := cmp.Diff(want, essentialOf(t, quick(t, dir))); diff != "" {
					t.Errorf("next start: %s", diff)
				}
			})
		}
	}
}

// TestDirectoryOfEnvelopesLost: the active policy is in the second copy.
func TestDirectoryOfEnvelopesLost(t *testing.T) {
	dir := prepare(t)
	want := essentialOf(t, quick(t, prepare(t)))
	ok(t, os.RemoveAll(filepath.Join(dir, "policies")))
	s := quick(t, dir)
	if diff := cmp.Diff(want, essentialOf(t, s)); diff != "" {
		t.Error(diff)
	}
	wantProblem(t, s, "policies: directory is missing")
	if _, err := s.Get("idle"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("inactive policy: %v", err)
	}
	ok(t, s.Delete("idle"), s.Put(entry("idle", v(1, 0, 0))))
}

// TestBothCopiesLost: nothing is active, and Problems says that the floors are lost
// until somebody removes the file that remembers it.
func TestBothCopiesLost(t *testing.T) {
	// The end of the second copy is the active policy, which it can be without.
	notLost := []string{"a link to a copy", "without its end", "changed at the end", "with more at the end"}
	for _, d := range storetest.Damages() {
		if d.Harmless || slices.Contains(notLost, d.Name) {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			dir := prepare(t)
			ok(t, d.Do(filepath.Join(dir, "index")), d.Do(filepath.Join(dir, "copy")))
			before := contents(t, dir)
			for range 2 {
				s := quick(t, dir)
				if name, has := s.Active(); has || !s.Lost() || len(s.List()) > 0 {
					t.Errorf("active %q, lost %v, policies %v", name, s.Lost(), s.List())
				}
				wantProblem(t, s, "floors are lost")
				wantProblem(t, s, "belongs to nothing that is stored")
				ok(t, s.Close())
			}
			after := slices.Collect(maps.Values(contents(t, dir)))
			for path, text := range before {
				if !slices.Contains(after, text) {
					t.Errorf("%s is gone", path)
				}
			}
			s := quick(t, dir)
			ok(t, s.Put(entry("p", v(1, 5, 0))), s.SetActive("p"), s.Close())
			s = quick(t, dir)
			if name, _ := s.Active(); name != "p" || s.Lost() {
				t.Errorf("deployed anew: active %q, lost %v", name, s.Lost())
			}
			wantProblem(t, s, "floors are lost")
			ok(t, s.Close(), os.Remove(filepath.Join(dir, "floors-lost")))
			for _, err := range quick(t, dir).Problems() {
				if strings.Contains(err.Error(), "floors are lost") {
					t.Errorf("the file was removed: %v", err)
				}
			}
		})
	}
}

// TestNewerFormat: what another program wrote is left to it.
func TestNewerFormat(t *testing.T) {
	dir := prepare(t)
	for _, file := range []string{"index", "copy"} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		ok(t, err, os.WriteFile(filepath.Join(dir, file), []byte(strings.Replace(string(b), "ipe-store 3", "ipe-store 4", 1)), 0o600))
	}
	before := contents(t, dir)
	s := quick(t, dir)
	wantProblem(t, s, "use the program that wrote it")
	if !s.Lost() || !errors.Is(s.Put(entry("new", v(1, 0, 0))), store.ErrFormat) {
		t.Errorf("lost %v, problems %v", s.Lost(), s.Problems())
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// TestOldIndexPutBack: a copy with more changes counts.
func TestOldIndexPutBack(t *testing.T) {
	dir := prepare(t)
	index := filepath.Join(dir, "index")
	old, err := os.ReadFile(index)
	ok(t, err)
	s := quick(t, dir)
	ok(t, s.Replace(entry("p", v(2, 0, 0))))
	want := dumpOf(t, s)
	ok(t, s.Close(), os.WriteFile(index, old, 0o600))
	s = quick(t, dir)
	if diff := cmp.Diff(want, dumpOf(t, s)); diff != "" {
		t.Error(diff)
	}
	wantProblem(t, s, "index: its second copy is newer, change 8, not 7")
}

// TestOldCopyCounts: if the second copy is all that there is, and could not be written
// lately, its active policy is the best there is. It is said.
func TestOldCopyCounts(t *testing.T) {
	dir := prepare(t)
	s, err := store.OpenOn(noCopy{storetest.Healthy()}, dir)
	ok(t, err)
	ok(t, s.SetActive("idle"))
	wantProblem(t, s, "no second copy")
	ok(t, s.Close(), os.Remove(filepath.Join(dir, "index")))
	s = quick(t, dir)
	if name, _ := s.Active(); name != "p" {
		t.Errorf("active %q", name)
	}
	wantProblem(t, s, "as of change 7, perhaps not the last one")
}

// noCopy is a disk that has no room for the second copy.
type noCopy struct{ *storetest.Disk }

func (d noCopy) Rename(from, to string) error {
	if filepath.Base(to) == "copy" {
		return fs.ErrPermission
	}
	return d.Disk.Rename(from, to)
}

// TestOldFormat: a store that an older program left is taken over, and has two copies
// from then on.
func TestOldFormat(t *testing.T) {
	dir := prepare(t)
	want := dumpOf(t, quick(t, prepare(t)))
	index := filepath.Join(dir, "index")
	b, err := os.ReadFile(index)
	ok(t, err)
	_, body, _ := strings.Cut(string(b), "\nmode")
	body = "ipe-store 1\nmode" + body[:strings.LastIndex(body, "sum ")]
	ok(t, os.WriteFile(index, fmt.Appendf(nil, "%ssum %x\n", body, sha256.Sum256([]byte(body))), 0o600), os.Remove(filepath.Join(dir, "copy")))
	s := quick(t, dir)
	if diff := cmp.Diff(want, dumpOf(t, s)); diff != "" || len(s.Problems()) > 0 {
		t.Errorf("problems %q %s", s.Problems(), diff)
	}
	ok(t, s.Close(), os.Remove(index))
	if diff := cmp.Diff(want, dumpOf(t, quick(t, dir))); diff != "" {
		t.Error(diff)
	}
}

// TestForeignFiles are named, up to a number, and stay.
func TestForeignFiles(t *testing.T) {
	dir := prepare(t)
	ok(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700)) // a file system of its own
	for _, name := range []string{"notes.txt", "x.tmp", "policies/x.p7b", "policies/" + strings.Repeat("AB", 32) + ".p7b", envelopeFile(entry("x", v(0, 0, 0)))} {
		ok(t, create(name)(dir))
	}
	for i := range 50 {
		ok(t, create(fmt.Sprint("more", i))(dir))
	}
	want := contents(t, dir)
	for _, name := range []string{"index.ABCDEFGH.tmp", "copy.ABCDEFGH.tmp", envelopeFile(entry("y", v(0, 0, 0))) + ".ABCDEFGH.tmp"} {
		ok(t, create(name)(dir)) // a crash leaves these
	}
	s := quick(t, dir)
	if diff := cmp.Diff(want, contents(t, dir)); diff != "" {
		t.Error(diff)
	}
	for _, word := range []string{"x.p7b", "ABAB", "belongs to nothing that is stored", "42 more files"} {
		wantProblem(t, s, word)
	}
}

func TestGetNoticesChange(t *testing.T) {
	dir := prepare(t)
	s := quick(t, dir)
	for name, version := range map[string]policy.Version{"p": v(1, 5, 0), "idle": v(1, 0, 0)} {
		ok(t, os.WriteFile(filepath.Join(dir, envelopeFile(entry(name, version))), []byte("evil"), 0o600))
	}
	if e, err := s.Get("p"); err != nil || string(e.Envelope) != "p 1.5.0" {
		t.Errorf("the active one, which is in memory: %+v, %v", e, err)
	}
	if e, err := s.Get("idle"); !errors.Is(err, store.ErrCorrupt) || e.Envelope != nil {
		t.Errorf("got %+v, %v", e, err)
	}
}

// TestNoDirectory: what cannot be a store is refused.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, nil, 0o600))
	for _, bad := range []string{file, filepath.Join(t.TempDir(), "no", "such")} {
		if _, err := store.Open(bad); err == nil {
			t.Errorf("opened %s", bad)
		}
	}
}

// TestOthersMayWrite: the store is used, and Problems says what could be forged.
func TestOthersMayWrite(t *testing.T) {
	for _, name := range []string{"", "..", "policies", "index", "copy"} {
		dir := prepare(t)
		ok(t, os.Chmod(filepath.Join(dir, name), 0o777))
		s := quick(t, dir)
		wantProblem(t, s, "may be forged")
		wantProblem(t, s, "chmod go-w "+filepath.Join(dir, name))
		if name, _ := s.Active(); name != "p" {
			t.Errorf("active %q", name)
		}
		ok(t, os.Chmod(filepath.Join(dir, name), 0o700))
	}
	if os.Geteuid() == 0 {
		dir := prepare(t)
		ok(t, os.Chown(dir, 65534, 65534))
		wantProblem(t, quick(t, dir), "belongs to uid 65534")
	}
}

// TestUnwritable: what can be read is there, what cannot be kept is refused.
func TestUnwritable(t *testing.T) {
	dir := prepare(t)
	want := essentialOf(t, quick(t, prepare(t)))
	ok(t, os.WriteFile(filepath.Join(dir, "index"), nil, 0o600))
	s, err := store.OpenOn(dead{storetest.Healthy()}, dir)
	ok(t, err)
	defer s.Close()
	if diff := cmp.Diff(want, essentialOf(t, s)); diff != "" {
		t.Error(diff)
	}
	if err := s.SetMode(store.Mode{}); !errors.Is(err, store.ErrFailed) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("changed: %v", err)
	}
	none := filepath.Join(t.TempDir(), "state")
	s, err = store.OpenOn(dead{storetest.Healthy()}, none)
	ok(t, err)
	defer s.Close()
	if err := s.Put(entry("p", v(1, 0, 0))); !errors.Is(err, fs.ErrPermission) || s.Lost() || len(s.Problems()) == 0 {
		t.Errorf("a store that could not be made: %v, lost %v, problems %q", err, s.Lost(), s.Problems())
	}
}

// dead is a disk that takes nothing.
type dead struct{ *storetest.Disk }

func (dead) SyncDir(string) error            { return fs.ErrPermission }
func (dead) Mkdir(string, fs.FileMode) error { return fs.ErrPermission }
