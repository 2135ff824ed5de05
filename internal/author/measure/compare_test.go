package measure

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

func TestDifferences(t *testing.T) {
	one, other := hashed(t, fsverity.Params{}, []byte("one")), hashed(t, fsverity.Params{}, []byte("two"))
	want := &manifest.Entry{Path: "a", Size: 3, Mode: "0755", Digest: one}
	for name, tt := range map[string]struct {
		r      Result
		ignore bool
		want   []Difference
	}{
		"none":            {r: Result{Size: 3, Mode: 0o755, Digest: one}},
		"missing":         {r: Result{Err: fs.ErrNotExist}, want: []Difference{{Missing, "missing"}}},
		"unreadable":      {r: Result{Err: errors.New("a: broken")}, want: []Difference{{Unreadable, "a: broken"}}},
		"size":            {r: Result{Size: 4, Mode: 0o755}, want: []Difference{{Size, "size is 4, not 3"}}},
		"digest":          {r: Result{Size: 3, Mode: 0o755, Digest: other}, want: []Difference{{Digest, "digest is " + other.String() + ", not " + one.String()}}},
		"mode":            {r: Result{Size: 3, Mode: 0o755 | fs.ModeSetuid, Digest: one}, want: []Difference{{Mode, "mode is 4755, not 0755"}}},
		"mode, ignored":   {r: Result{Size: 3, Mode: 0o700, Digest: one}, ignore: true},
		"size and mode":   {r: Result{Mode: 0o600}, want: []Difference{{Size, "size is 0, not 3"}, {Mode, "mode is 0600, not 0755"}}},
		"size, mode free": {r: Result{Mode: 0o600}, ignore: true, want: []Difference{{Size, "size is 0, not 3"}}},
	} {
		tt.r.Want = want
		if diff := cmp.Diff(tt.want, tt.r.differences(tt.ignore)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestExpect(t *testing.T) {
	e := manifest.Entry{Digest: hashed(t, fsverity.Params{Algorithm: "sha512"}, nil), Size: 5}
	c := Comparison{Params: fsverity.Params{Algorithm: "sha256", BlockSize: 4096}}
	if err := c.Expect(e); err != nil || c.Size() != 5 || c.Tally() != (Tally{Files: 1}) {
		t.Errorf("%v, %d bytes, %+v", err, c.Size(), c.Tally())
	}
	if e.Size = math.MaxInt64; c.Expect(e) != nil || c.Size() != 0 {
		t.Errorf("%d bytes", c.Size())
	}
	c = Comparison{Params: fsverity.Params{BlockSize: 3000}}
	if err := c.Expect(e); !errors.Is(err, fsverity.ErrParams) || c.Tally() != (Tally{}) {
		t.Errorf("a block size that is none: %v, %+v", err, c.Tally())
	}
}

// TestComparison: each file is told, in the order of the manifest, then what it does not
// name, and counted by the first thing that it differs in.
func TestComparison(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/good", []byte("one"), 0o644)
	write(t, dir+"/changed", []byte("two"), 0o600)
	write(t, dir+"/sub/extra", nil, 0o644)
	write(t, dir+"/outside", nil, 0o644)
	if err := os.Symlink("/proc/self/exe", dir+"/led"); err != nil {
		t.Fatal(err)
	}
	root, err := walk.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	c := Comparison{In: root, Params: fsverity.Params{}, Progress: &counter{}}
	for _, name := range []string{"led", "good", "gone", "changed"} {
		if err := c.Expect(manifest.Entry{Path: name, Size: 3, Mode: "0644", Digest: hashed(t, fsverity.Params{}, []byte("one"))}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	tell := func(path string, all []Difference) error {
		for _, d := range all {
			path += " " + d.What
		}
		got = append(got, path)
		return nil
	}
	if err := errors.Join(c.Files(t.Context(), tell), c.Extra([]string{"sub"}, false, tell), c.Extra(nil, true, tell)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"led unreadable", "good", "gone missing", "changed digest mode", "sub/extra extra"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := (Tally{Files: 4, Differ: 1, Missing: 1, Unreadable: 1, Extra: 1}); c.Tally() != want || c.Tally().OK() {
		t.Errorf("%+v, want %+v", c.Tally(), want)
	}
	if err := c.Extra(nil, false, tell); err != nil || c.Tally().Extra != 3 {
		t.Errorf("%v, %+v", err, c.Tally())
	}
}

// TestUnnamed: what no entry names is told, and what is named is not, by either spelling.
func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/run", nil, 0o755)
	write(t, dir+"/a/notes", nil, 0o644)
	write(t, dir+"/named", nil, 0o755)
	root, err := walk.At(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, tt := range []struct {
		tree walk.Tree
		want map[string]string
	}{
		{walk.Tree{In: root, Args: []string{"/"}}, map[string]string{"a/run": Extra, "a/notes": Extra}},
		{walk.Tree{In: root, Args: []string{"/"}, Executable: true}, map[string]string{"a/run": Extra}},
		{walk.Tree{In: root, Args: []string{"absent", "named"}}, map[string]string{"absent": Unreadable}},
	} {
		got := map[string]string{}
		if err := unnamed(&tt.tree, []manifest.Entry{{Path: "/named"}}, func(path string, d Difference) error {
			got[path] = d.What
			return nil
		}); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.tree.Args, diff)
		}
	}
	stop := errors.New("enough")
	if err := unnamed(&walk.Tree{In: root, Args: []string{"/"}}, nil, func(string, Difference) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
