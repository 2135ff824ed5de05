package measure

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
)

// List turns files into entries of a manifest, each path once.
type List struct {
	manifest.List
	replaced []walk.FileID
	reason   string
}

// Mind notes which files will be replaced, and so cannot be listed, with the reason.
func (l *List) Mind(reason string, outputs ...string) {
	l.reason = reason
	for _, name := range outputs {
		if id, err := walk.Identify(name); err == nil {
			l.replaced = append(l.replaced, id)
		}
	}
}

// Entry returns nil for a path that has been there. A path that no manifest can have is a
// [manifest.PathError].
func (l *List) Entry(r Result) (*manifest.Entry, error) {
	path := filepath.Clean(r.Path)
	if err := manifest.CheckPath(path); err != nil {
		return nil, err
	}
	if slices.Contains(l.replaced, r.ID) {
		return nil, &manifest.PathError{Path: path, Reason: l.reason}
	}
	if added, err := l.Add(path); err != nil || !added {
		return nil, err
	}
	return &manifest.Entry{Path: path, Digest: r.Digest, Size: r.Size, Mode: manifest.Octal(r.Mode)}, nil
}

// Text is the text of a manifest, as a whole.
type Text struct{ buf bytes.Buffer }

// Add adds the line of an entry, unless no manifest may be as long.
func (t *Text) Add(e *manifest.Entry) error {
	if t.buf.Len() > manifest.MaxSize {
		return fmt.Errorf("manifest: more than %d bytes", manifest.MaxSize)
	}
	line, err := plain.JSON(e)
	t.buf.Write(line)
	return err
}

// Bytes is all of it.
func (t *Text) Bytes() []byte { return t.buf.Bytes() }
