package cli

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: ui.None,
		RunE: func(*cobra.Command, []string) error {
			return a.Result(map[string]string{"version": a.Version}, "ipe %s\n", a.Version)
		},
	}
}
