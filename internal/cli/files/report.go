package files

import (
	"context"
	"errors"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/manifest"
)

// report measures the files of a tree. It calls each for those that were measured, and
// prints an error for the others. In the end it returns ui.ErrSaid if there was one.
func (a *app) report(ctx context.Context, like measure.Measurer, t walk.Tree, each func(measure.Result) error) error {
	bar := a.Progress(0)
	defer bar.End()
	like.Progress = bar
	return a.printEach(bar, each, func(each func(measure.Result) error) error {
		return measure.All(ctx, like, measure.Found(t.Files), each)
	})
}

// printEach is report with any way to measure; bar may be nil.
func (a *app) printEach(bar *ui.Progress, show func(measure.Result) error, all func(each func(measure.Result) error) error) (err error) {
	defer a.Buffer()(&err)
	c := a.Complaints(bar)
	err = all(func(m measure.Result) error {
		if m.Err == nil {
			bar.MakeWay()
			m.Err = show(m)
			var refusal *manifest.PathError
			if !errors.As(m.Err, &refusal) {
				return m.Err
			}
		}
		c.Add(m.Err)
		return nil
	})
	if err == nil && c.N > 0 {
		return ui.ErrSaid
	}
	return err
}
