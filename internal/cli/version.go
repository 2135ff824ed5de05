package cli

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
)

func version(u *ui.UI) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: ui.None,
		RunE: func(*cobra.Command, []string) error {
			return u.Result(map[string]string{"version": u.Version}, "ipe %s\n", u.Version)
		},
	}
}
