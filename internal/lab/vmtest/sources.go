package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// sourcesOf has go list print the directories and source files of this module.
const sourcesOf = `{{if and .Module .Module.Main}}{{$d := .Dir}}{{$d}}
{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}
{{end}}{{range .TestGoFiles}}{{$d}}/{{.}}
{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}
{{end}}{{end}}`

// TrackSources looks at every source file of this module that packages are made of, for a
// test that has a compiler read them: the go command repeats an old result as long as the
// files that the test itself looked at are unchanged. Args are packages, and flags before
// them, of go list.
func TrackSources(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-f", sourcesOf}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("list sources: %w", err)
	}
	for file := range strings.FieldsSeq(string(out)) {
		// A generated test main exists only while it is compiled.
		if _, err := os.Stat(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list sources: %w", err)
		}
	}
	return nil
}
