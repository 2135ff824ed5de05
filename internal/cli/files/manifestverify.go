package files

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/manifest"
)

// entryVerdict is the result of fsverity verify --manifest, for one file.
type entryVerdict struct {
	File  string `json:"file"`
	Valid bool   `json:"valid"`
	// Differs says in what: missing, unreadable, size, digest, mode or extra.
	Differs []string `json:"differs"`
	Message string   `json:"message"`
}

// verdict says in what a file differs, and counts it.
func (t *tally) verdict(file string, differences ...measure.Difference) entryVerdict {
	v := entryVerdict{File: file, Valid: len(differences) == 0, Differs: []string{}}
	var texts []string
	for _, d := range differences {
		v.Differs, texts = append(v.Differs, d.What), append(texts, d.Text)
	}
	v.Message = strings.Join(texts, "; ")
	if !v.Valid {
		switch differences[0].What {
		case measure.Missing:
			t.missing++
		case measure.Unreadable:
			t.unreadable++
		case measure.Extra:
			t.extra++
		default:
			t.differ++
		}
	}
	return v
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
		if err := measure.Comparable(e, params); err != nil {
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
	err = measure.All(cmd.Context(), measure.Measurer{Params: params, Progress: bar}, measure.Entries(in, want), func(m measure.Result) error {
		bar.MakeWay()
		return a.entry(t.verdict(m.Path, m.Differences(f.ignoreMode)...))
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

// entry prints what is not as it should be; as JSON, everything.
func (a *app) entry(v entryVerdict) error {
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
	if len(dirs) == 0 {
		dirs = []string{"/"} // of --root
	}
	tree := &walk.Tree{In: in, Args: dirs, Executable: f.executable}
	return measure.Unnamed(tree, want, func(path string, d measure.Difference) error { return a.entry(t.verdict(path, d)) })
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
