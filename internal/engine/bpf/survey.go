package bpf

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/ipe-linux/ipe/internal/engine"
)

// PrepareSurvey loads the iterators. The recall of signatures comes first, as it does
// before a policy that asks for them decides: else files would seem to lack theirs. See
// [engine.Surveyor].
func (e *Engine) PrepareSurvey() error {
	e.recallFirst()
	if err := e.survey.Prepare(e.maps); err != nil {
		return fmt.Errorf("prepare survey: %w", explain(err))
	}
	return nil
}

// Survey reads the facts as decisions read them, by iterators of the kernel over all
// processes. See [engine.Surveyor].
func (e *Engine) Survey(ctx context.Context, files []*os.File, fn func(engine.Use)) error {
	if err := e.PrepareSurvey(); err != nil {
		return err
	}
	if err := e.survey.Read(ctx, fn); err != nil {
		return fmt.Errorf("survey: %w", err)
	}
	runtime.KeepAlive(files)
	return nil
}
