package files

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// entryVerdict is the result of fsverity verify --manifest, for one file.
type entryVerdict struct {
	File  string `json:"file"`
	Valid bool   `json:"valid"`
	// Differs says in what: missing, unreadable, size, digest, mode or extra.
	Differs []string `json:"differs"`
	Message string   `json:"message"`
}

func (v *entryVerdict) differs(what, format string, args ...any) {
	if v.Message != "" {
		v.Message += "; "
	}
	v.Differs = append(v.Differs, what)
	v.Message += fmt.Sprintf(format, args...)
}

// tally counts what was found.
type tally struct{ files, differ, missing, unreadable, extra int }

func (t tally) ok() bool { return t.differ+t.missing+t.unreadable+t.extra == 0 }

func (t tally) String() string {
	s := fmt.Sprintf("%d files", t.files)
	for _, part := range []struct {
		n    int
		what string
	}{{t.differ, "differ"}, {t.missing, "missing"}, {t.unreadable, "cannot be read"}, {t.extra, "extra"}} {
		if part.n > 0 {
			s += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return s
}

// runManifestVerify compares files with a manifest; dirs are searched for files
// that it does not name.
func (a *app) runManifestVerify(cmd *cobra.Command, dirs []string, f verifyManifestFlags) (err error) {
	params, err := f.params(cmd)
	if err != nil {
		return err
	}
	in, err := walk.At(f.root)
	if err != nil {
		return err
	}
	defer in.Close()
	var want []manifest.Entry
	total := int64(0)
	signer, err := a.readManifest(f.source, func(e manifest.Entry) error {
		if err := measurable(e, params); err != nil {
			return err
		}
		want = append(want, e)
		total += e.Size
		return nil
	})
	if err != nil {
		return err
	}
	bar := a.Progress(max(total, 0))
	defer bar.End()
	defer a.Buffer()(&err)
	t := tally{files: len(want)}
	err = a.measureAll(cmd.Context(), measurer{params: params, bar: bar}, wanted(in, want), func(m measured) error {
		bar.MakeWay()
		return a.judge(m, f, &t)
	})
	if err == nil {
		err = a.findExtra(in, dirs, want, f, &t)
	}
	if err != nil {
		return err
	}
	bar.End()
	return a.sumUp(f, t, signer)
}

// measurable refuses a digest that the parameters given do not go with.
func measurable(e manifest.Entry, p fsverity.Params) error {
	p.Algorithm = e.Digest.Algorithm()
	_, err := fsverity.NewWriter(p)
	return err
}

func wanted(in walk.Place, want []manifest.Entry) func(func(measureJob) bool) {
	return func(yield func(measureJob) bool) {
		for i := range want {
			if !yield(measureJob{File: in.Named(want[i].Path), want: &want[i]}) {
				return
			}
		}
	}
}

// judge compares one file.
func (a *app) judge(m measured, f verifyManifestFlags, t *tally) error {
	v := entryVerdict{File: m.path, Differs: []string{}}
	switch {
	case errors.Is(m.err, fs.ErrNotExist):
		t.missing++
		v.differs("missing", "missing")
	case m.err != nil:
		t.unreadable++
		v.differs("unreadable", "%s", plain.Error(m.err))
	default:
		if v.compare(m, f.ignoreMode); len(v.Differs) > 0 {
			t.differ++
		}
	}
	return a.entry(v)
}

// compare notes in what a file differs.
func (v *entryVerdict) compare(m measured, ignoreMode bool) {
	switch {
	case m.size != m.want.Size:
		v.differs("size", "size is %d, not %d", m.size, m.want.Size)
	case !m.digest.Equal(m.want.Digest):
		v.differs("digest", "digest is %v, not %v", m.digest, m.want.Digest)
	}
	if mode := manifest.Octal(m.mode); mode != m.want.Mode && !ignoreMode {
		v.differs("mode", "mode is %s, not %s", mode, m.want.Mode)
	}
}

// entry prints what is not as it should be; as JSON, everything.
func (a *app) entry(v entryVerdict) error {
	v.Valid = len(v.Differs) == 0
	if v.Valid && !a.JSON {
		return nil
	}
	return a.Result(v, "%s: %s\n", plain.Name(v.File), plain.Text(v.Message))
}

// findExtra looks for files that the manifest does not name.
func (a *app) findExtra(in walk.Place, dirs []string, want []manifest.Entry, f verifyManifestFlags, t *tally) error {
	if !f.strict {
		return nil
	}
	named := make(map[string]bool, len(want))
	for _, e := range want {
		named[in.Key(e.Path)] = true
	}
	if len(dirs) == 0 {
		dirs = []string{"/"} // of --root
	}
	tree := walk.Tree{In: in, Args: dirs, Executable: f.executable}
	for file := range tree.Files {
		err := file.Look()
		file.Done()
		v := entryVerdict{File: file.Path}
		switch {
		case errors.Is(err, walk.ErrNotAsked):
			continue
		case err != nil && !errors.Is(err, walk.ErrNotRegular): // which is there, whatever it is
			t.unreadable++
			v.differs("unreadable", "%s", plain.Error(err))
		case !named[in.Key(file.Path)]:
			t.extra++
			v.differs("extra", "not in the manifest")
		default:
			continue
		}
		if err := a.entry(v); err != nil {
			return err
		}
	}
	return nil
}

// sumUp prints the last line.
func (a *app) sumUp(f verifyManifestFlags, t tally, signer string) error {
	if a.JSON {
		if !t.ok() {
			return ui.ErrSaid
		}
		return nil
	}
	verdict, by := "", "; its signature was not looked at (--trust)"
	if t.ok() {
		verdict = "ok: "
	}
	if signer != "" {
		by = ", signed by " + plain.Text(signer)
	}
	if err := a.Result(nil, "%s: %s%v%s\n", plain.Name(f.source.file), verdict, t, by); err != nil {
		return err
	}
	if !t.ok() {
		return ui.ErrSaid
	}
	return nil
}
