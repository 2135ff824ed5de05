package measure

import (
	"errors"
	"io/fs"
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
		if diff := cmp.Diff(tt.want, tt.r.Differences(tt.ignore)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestComparable(t *testing.T) {
	e := manifest.Entry{Digest: hashed(t, fsverity.Params{Algorithm: "sha512"}, nil)}
	if err := Comparable(e, fsverity.Params{Algorithm: "sha256", BlockSize: 4096}); err != nil {
		t.Error(err)
	}
	if err := Comparable(e, fsverity.Params{BlockSize: 3000}); !errors.Is(err, fsverity.ErrParams) {
		t.Errorf("a block size that is none: %v", err)
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
		if err := Unnamed(&tt.tree, []manifest.Entry{{Path: "/named"}}, func(path string, d Difference) error {
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
	if err := Unnamed(&walk.Tree{In: root, Args: []string{"/"}}, nil, func(string, Difference) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
