package cli

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// Root is the command tree, to look at.
func Root() *cobra.Command {
	return root(ui.New(&bytes.Buffer{}, &bytes.Buffer{}, &bytes.Buffer{}, func(string) string { return "" }))
}
