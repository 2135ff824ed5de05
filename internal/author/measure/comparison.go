package measure

import (
	"context"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// Comparison is that of files with a manifest.
type Comparison struct {
	In walk.Place
	// Params are those of all digests, but for the algorithm, which is each one's own.
	Params     fsverity.Params
	IgnoreMode bool
	Progress   Progress

	want  []manifest.Entry
	size  int64
	tally Tally
}

// Tally counts files, and those that are not as they should be.
type Tally struct{ Files, Differ, Missing, Unreadable, Extra int }

// OK reports whether all are as they should be.
func (t Tally) OK() bool { return t.Differ+t.Missing+t.Unreadable+t.Extra == 0 }

// Expect takes an entry of the manifest. It refuses a digest that the parameters do not go
// with.
func (c *Comparison) Expect(e manifest.Entry) error {
	p := c.Params
	p.Algorithm = e.Digest.Algorithm()
	if _, err := fsverity.NewWriter(p); err != nil {
		return err
	}
	c.want = append(c.want, e)
	c.size += e.Size
	c.tally.Files++
	return nil
}

// Size is that of all files together, as the manifest has it. Nobody vouches for it.
func (c *Comparison) Size() int64 { return max(c.size, 0) }

// Tally is what was found until now.
func (c *Comparison) Tally() Tally { return c.tally }

// Files gives each file that the manifest names, with what it differs in. It returns the
// first error of each.
func (c *Comparison) Files(ctx context.Context, each func(path string, differences []Difference) error) error {
	return All(ctx, Measurer{Params: c.Params, Progress: c.Progress}, Entries(c.In, c.want), func(r Result) error {
		all := r.differences(c.IgnoreMode)
		c.count(all)
		return each(r.Path, all)
	})
}

// Extra gives what is in directories, or in all of the place if there are none, and is not
// in the manifest. It returns the first error of each.
func (c *Comparison) Extra(dirs []string, executable bool, each func(path string, differences []Difference) error) error {
	if len(dirs) == 0 {
		dirs = []string{"/"}
	}
	return unnamed(&walk.Tree{In: c.In, Args: dirs, Executable: executable}, c.want, func(path string, d Difference) error {
		all := []Difference{d}
		c.count(all)
		return each(path, all)
	})
}

// count counts a file by the first thing that it differs in.
func (c *Comparison) count(differences []Difference) {
	if len(differences) == 0 {
		return
	}
	switch differences[0].What {
	case Missing:
		c.tally.Missing++
	case Unreadable:
		c.tally.Unreadable++
	case Extra:
		c.tally.Extra++
	default:
		c.tally.Differ++
	}
}
