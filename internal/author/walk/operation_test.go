package walk

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/author/walk/walktest"
	"github.com/ipe-linux/ipe/policy"
)

func TestOperationOf(t *testing.T) {
	named := map[string]bool{}
	for at, c := range walktest.Cases(t) {
		named[c.Of] = true
		if got := OperationOf(at, strings.NewReader(c.Content)).String(); got != c.Of {
			t.Errorf("%s: %s, want %s", at, got, c.Of)
		}
		if got := OperationAt(at).String(); got != c.At {
			t.Errorf("%s, by its path: %s, want %s", at, got, c.At)
		}
	}
	if len(named) != len(policy.Ops()) {
		t.Errorf("%d of %d operations are tried", len(named), len(policy.Ops()))
	}
}

// counted counts the bytes that are asked for.
type counted struct {
	io.ReaderAt
	bytes int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// TestDetectionReadsFourBytes: of what is neither ELF nor for EFI, no more is read, and of
// what has no need of its content, nothing.
func TestDetectionReadsFourBytes(t *testing.T) {
	text := strings.NewReader(strings.Repeat("text", 1000))
	for what, c := range map[string]struct {
		want int
		do   func(io.ReaderAt)
	}{
		"ELF":                 {4, func(r io.ReaderAt) { isELF(r) }},
		"operation":           {4, func(r io.ReaderAt) { OperationOf("/opt/app/data", r) }},
		"operation, firmware": {0, func(r io.ReaderAt) { OperationOf("/lib/firmware/a", r) }},
		"judged":              {4, func(r io.ReaderAt) { Judged("/opt/app/data", 0o644, r) }},
		"judged, a program":   {0, func(r io.ReaderAt) { Judged("/opt/app/run", 0o755, r) }},
		"judged, a module":    {0, func(r io.ReaderAt) { Judged("/opt/app/a.ko.xz", 0o644, r) }},
	} {
		r := &counted{ReaderAt: text}
		if c.do(r); r.bytes != c.want {
			t.Errorf("%s: %d bytes, want %d", what, r.bytes, c.want)
		}
	}
}

// FuzzOperationOf wants an answer that policies can name, whatever the content.
func FuzzOperationOf(f *testing.F) {
	for at, c := range walktest.Cases(f) {
		f.Add(at, []byte(c.Content))
	}
	f.Fuzz(func(t *testing.T, at string, content []byte) {
		if op := OperationOf(at, bytes.NewReader(content)); !op.Known() {
			t.Errorf("%v", op)
		}
	})
}
