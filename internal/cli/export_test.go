package cli

import (
	"bytes"

	"github.com/spf13/cobra"
)

// Root is the command tree, to look at.
func Root() *cobra.Command {
	return (&app{stdin: &bytes.Buffer{}, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }}).root()
}
