package measure

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
)

// What a file may differ in from its entry in a manifest.
const (
	Missing    = "missing"
	Unreadable = "unreadable"
	Size       = "size"
	Digest     = "digest"
	Mode       = "mode"
	Extra      = "extra" // it is in no manifest
)

// Difference is one between a file and what a manifest says of it.
type Difference struct{ What, Text string }

// differences are those of a file from what it should be.
func (r *Result) differences(ignoreMode bool) (all []Difference) {
	add := func(what, format string, args ...any) {
		all = append(all, Difference{what, fmt.Sprintf(format, args...)})
	}
	switch {
	case errors.Is(r.Err, fs.ErrNotExist):
		add(Missing, "missing")
		return all
	case r.Err != nil:
		add(Unreadable, "%s", plain.Error(r.Err))
		return all
	case r.Size != r.Want.Size:
		add(Size, "size is %d, not %d", r.Size, r.Want.Size)
	case !r.Digest.Equal(r.Want.Digest):
		add(Digest, "digest is %v, not %v", r.Digest, r.Want.Digest)
	}
	if mode := manifest.Octal(r.Mode); mode != r.Want.Mode && !ignoreMode {
		add(Mode, "mode is %s, not %s", mode, r.Want.Mode)
	}
	return all
}

// unnamed gives the files of a tree that no entry names, and what cannot be looked at. It
// returns the first error of each.
func unnamed(t *walk.Tree, want []manifest.Entry, each func(path string, d Difference) error) error {
	named := make(map[string]bool, len(want))
	for _, e := range want {
		named[t.In.Key(e.Path)] = true
	}
	for file := range t.Files {
		err := file.Look()
		file.Done()
		var d Difference
		switch {
		case errors.Is(err, walk.ErrNotAsked):
			continue
		case err != nil && !errors.Is(err, walk.ErrNotRegular): // which is there, whatever it is
			d = Difference{Unreadable, plain.Error(err)}
		case !named[t.In.Key(file.Path)]:
			d = Difference{Extra, "not in the manifest"}
		default:
			continue
		}
		if err := each(file.Path, d); err != nil {
			return err
		}
	}
	return nil
}
