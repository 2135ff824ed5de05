package measure

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// TestText: what is listed and written is read again, each path once, and no name in it
// commands a terminal.
func TestText(t *testing.T) {
	sum := hashed(t, fsverity.Params{}, nil)
	var list List
	var text Text
	var want []manifest.Entry
	for _, path := range []string{"a/b", "odd\nname \u009b2J <&>", "a//b", "./a/b", "/é"} {
		e, err := list.Entry(Result{Path: path, Size: 3, Mode: 0o755, Digest: sum})
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			continue
		}
		if err := text.Add(e); err != nil {
			t.Fatal(err)
		}
		want = append(want, *e)
	}
	if len(want) != 3 || list.Len() != 3 {
		t.Errorf("%d entries, %d counted, want 3", len(want), list.Len())
	}
	if bytes.ContainsRune(text.Bytes(), '\u009b') {
		t.Errorf("%q", text.Bytes())
	}
	var got []manifest.Entry
	if err := manifest.Parse(bytes.NewReader(text.Bytes()), func(e manifest.Entry) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(digest.Digest.Equal)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
