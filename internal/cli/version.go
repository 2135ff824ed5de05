package cli

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/controlrpc"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: ui.None,
		RunE: func(*cobra.Command, []string) error {
			v := controlrpc.BuildVersion()
			return a.Result(map[string]string{"version": v}, "ipe %s\n", v)
		},
	}
}
