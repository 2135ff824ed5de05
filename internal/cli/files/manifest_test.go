package files

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/digest"
)

// FuzzParseManifest wants only entries that can be used.
func FuzzParseManifest(f *testing.F) {
	f.Add(`{"path":"a","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n")
	f.Add(`{"path":"/a/../b","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n")
	f.Add("{}\n{")
	f.Add(strings.Repeat("x", 70000))
	f.Fuzz(func(t *testing.T, text string) {
		n, seen := 0, map[string]bool{}
		err := parseManifest(strings.NewReader(text), func(e listed) error {
			n++
			d := e.digest
			if size, ok := digest.AlgorithmSize(d.Algorithm()); e.Size < 0 || !ok || size != d.Size() {
				t.Errorf("entry %+v", e)
			}
			if !filepath.IsLocal(pathKey(e.Path)) || seen[pathKey(e.Path)] {
				t.Errorf("path %q", e.Path)
			}
			seen[pathKey(e.Path)] = true
			return nil
		})
		if lines := strings.Count(text, "\n") + 1; err == nil && n > lines {
			t.Errorf("%d entries on %d lines", n, lines)
		}
	})
}

// TestOctal: the bits that change whose rights a program has are shown.
func TestOctal(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		0o644:                  "0644",
		fs.ModeSetuid | 0o755:  "4755",
		fs.ModeSetgid | 0o2755: "2755",
		fs.ModeSticky | fs.ModeSetuid | fs.ModeSetgid: "7000",
	} {
		if got := octal(mode); got != want {
			t.Errorf("%v: %s, want %s", mode, got, want)
		}
	}
}

// TestManifestPaths: a path that a manifest cannot hold is refused when it is
// written as it would be when it is read.
func TestManifestPaths(t *testing.T) {
	m := manifestWriter{seen: map[string]string{}}
	for _, c := range []struct{ path, listed, problem string }{
		{"./a//b", "a/b", ""},
		{"a/b", "", ""},
		{"/a/b", "", "is there as a/b as well"},
		{"../a", "", "leads above"},
		{"a/../..", "", "leads above"},
		{"..a", "..a", ""},
		{".", "", "names no file"},
		{"caf\xe9", "", "not UTF-8"},
	} {
		e, err := m.entry(measured{path: c.path, mode: 0o644})
		switch {
		case c.problem != "":
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%q: error %v, want %s", c.path, err, c.problem)
			}
		case err != nil:
			t.Errorf("%q: %v", c.path, err)
		case (e == nil) != (c.listed == "") || e != nil && e.Path != c.listed:
			t.Errorf("%q: %+v, want %q", c.path, e, c.listed)
		}
	}
}

// TestManifestTooLong: what has no end is refused.
func TestManifestTooLong(t *testing.T) {
	n := 0
	err := parseManifest(strings.NewReader(strings.Repeat(" ", maxManifestLine+1)), func(listed) error { n++; return nil })
	if err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") || n != 0 {
		t.Errorf("%d entries, %v", n, err)
	}
}
