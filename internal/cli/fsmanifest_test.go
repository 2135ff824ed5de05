package cli

import (
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/digest"
)

// FuzzParseManifest wants only entries that can be used.
func FuzzParseManifest(f *testing.F) {
	f.Add(`{"path":"a","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n")
	f.Add("{}\n{")
	f.Add(strings.Repeat("x", 70000))
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		err := parseManifest(strings.NewReader(text), func(e manifestEntry, d digest.Digest) error {
			n++
			if size, ok := digest.AlgorithmSize(d.Algorithm()); e.Path == "" || e.Size < 0 || !ok || size != d.Size() {
				t.Errorf("entry %+v", e)
			}
			return nil
		})
		if lines := strings.Count(text, "\n") + 1; err == nil && n > lines {
			t.Errorf("%d entries on %d lines", n, lines)
		}
	})
}

func TestProgress(t *testing.T) {
	p := (&app{}).progress(10 << 20)
	done := p.upTo()
	done(1 << 20)
	done(3 << 20)
	if got := p.line(); got != " 30%  3 of 10 MiB" {
		t.Errorf("%q", got)
	}
	p.total = 0
	if got := p.line(); got != "3 MiB" {
		t.Errorf("%q", got)
	}
}
