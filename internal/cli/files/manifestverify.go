package files

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// entryVerdict is the result of fsverity verify --manifest, for one file.
type entryVerdict struct {
	File  string `json:"file"`
	Valid bool   `json:"valid"`
	// Differs says in what: missing, unreadable, size, digest, mode or extra.
	Differs []string `json:"differs"`
	Message string   `json:"message"`
}

// verdictOf says in what a file differs.
func verdictOf(file string, differences []measure.Difference) entryVerdict {
	v := entryVerdict{File: file, Valid: len(differences) == 0, Differs: []string{}}
	var texts []string
	for _, d := range differences {
		v.Differs, texts = append(v.Differs, d.What), append(texts, d.Text)
	}
	v.Message = strings.Join(texts, "; ")
	return v
}

// tally is what was found, in words.
func tally(t measure.Tally) string {
	s := fmt.Sprintf("%d files", t.Files)
	for _, part := range []struct {
		n    int
		what string
	}{{t.Differ, "differ"}, {t.Missing, "missing"}, {t.Unreadable, "cannot be read"}, {t.Extra, "extra"}} {
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
	c := measure.Comparison{In: in, Params: params, IgnoreMode: f.ignoreMode}
	signer, err := a.readManifest(f.source, c.Expect)
	if err != nil {
		return err
	}
	bar := a.Progress(c.Size())
	defer bar.End()
	defer a.Buffer()(&err)
	c.Progress = bar
	tell := func(path string, differences []measure.Difference) error {
		bar.MakeWay()
		return a.entry(verdictOf(path, differences))
	}
	err = c.Files(cmd.Context(), tell)
	if err == nil && f.strict {
		err = c.Extra(dirs, f.executable, tell)
	}
	if err != nil {
		return err
	}
	bar.End()
	return a.sumUp(f, c.Tally(), signer)
}

// entry prints what is not as it should be; as JSON, everything.
func (a *app) entry(v entryVerdict) error {
	if v.Valid && !a.JSON {
		return nil
	}
	return a.Result(v, "%s: %s\n", plain.Name(v.File), plain.Text(v.Message))
}

// sumUp prints the last line.
func (a *app) sumUp(f verifyManifestFlags, t measure.Tally, signer string) error {
	if a.JSON {
		if !t.OK() {
			return ui.ErrSaid
		}
		return nil
	}
	verdict, by := "", "; its signature was not looked at (--trust)"
	if t.OK() {
		verdict = "ok: "
	}
	if signer != "" {
		by = ", signed by " + plain.Text(signer)
	}
	if err := a.Result(nil, "%s: %s%s%s\n", plain.Name(f.source.file), verdict, tally(t), by); err != nil {
		return err
	}
	if !t.OK() {
		return ui.ErrSaid
	}
	return nil
}
