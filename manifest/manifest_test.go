package manifest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/manifest"
)

// FuzzParse wants only entries that can be used, and that are read again as they are
// written.
func FuzzParse(f *testing.F) {
	f.Add(`{"path":"a","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n")
	f.Add(`{"path":"/a/../b","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n")
	f.Add("{}\n{")
	f.Add(strings.Repeat("x", 70000))
	f.Fuzz(func(t *testing.T, text string) {
		n, seen := 0, map[string]bool{}
		err := manifest.Parse(strings.NewReader(text), func(e manifest.Entry) error {
			n++
			if size, ok := digest.AlgorithmSize(e.Digest.Algorithm()); e.Size < 0 || !ok || size != e.Digest.Size() {
				t.Errorf("entry %+v", e)
			}
			if key := manifest.Key(e.Path); !filepath.IsLocal(key) || seen[key] {
				t.Errorf("path %q", e.Path)
			}
			seen[manifest.Key(e.Path)] = true
			checkRoundTrip(t, e)
			return nil
		})
		if lines := strings.Count(text, "\n") + 1; err == nil && n > lines {
			t.Errorf("%d entries on %d lines", n, lines)
		}
	})
}

func checkRoundTrip(t *testing.T, e manifest.Entry) {
	t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := manifest.ParseEntry(line); err != nil || again != e {
		t.Errorf("%s: %+v, %v, want %+v", line, again, err, e)
	}
}

// TestOctal: the bits that change whose rights a program has are shown.
func TestOctal(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o644:                  "0644",
		fs.ModeSetuid | 0o755:  "4755",
		fs.ModeSetgid | 0o2755: "2755",
		fs.ModeSticky | fs.ModeSetuid | fs.ModeSetgid: "7000",
	} {
		if got := manifest.Octal(mode); got != want {
			t.Errorf("%v: %s, want %s", mode, got, want)
		}
	}
}

// TestList: a path that a manifest cannot hold is refused when it is written as it would be
// when it is read.
func TestList(t *testing.T) {
	var l manifest.List
	for _, c := range []struct {
		path    string
		added   bool
		problem string
	}{
		{"a/b", true, ""},
		{"a/b", false, ""},
		{"/a/b", false, "is there as a/b as well"},
		{"./a//b", false, "not in its shortest form"},
		{"../a", false, "leads above"},
		{"..a", true, ""},
		{".", false, "names no file"},
		{"caf\xe9", false, "not UTF-8"},
	} {
		added, err := l.Add(c.path)
		switch {
		case c.problem != "":
			if !errors.As(err, new(*manifest.PathError)) || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: error %v, want %s", c.path, err, c.problem)
			}
		case err != nil || added != c.added:
			t.Errorf("%q: added %v, %v", c.path, added, err)
		}
	}
	if l.Len() != 2 {
		t.Errorf("%d paths", l.Len())
	}
}

// TestTooLong: what has no end is refused.
func TestTooLong(t *testing.T) {
	n := 0
	err := manifest.Parse(strings.NewReader(strings.Repeat(" ", manifest.MaxLine+1)), func(manifest.Entry) error { n++; return nil })
	if err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") || n != 0 {
		t.Errorf("%d entries, %v", n, err)
	}
	if err := manifest.Parse(strings.NewReader(""), nil); !errors.Is(err, manifest.ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
}
