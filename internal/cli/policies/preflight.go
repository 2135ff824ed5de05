package policies

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
)

func (a *app) preflight() *cobra.Command {
	return &cobra.Command{
		Use: "preflight NAME|FILE.p7b", Short: "Show what a policy would newly deny, and change nothing",
		Args: ui.Exactly(1, "one NAME or FILE.p7b"), ValidArgsFunction: a.Names,
		Long: "Preflight looks at what processes have in memory now, and at init, iped, ipe, shells and\n" +
			"logins, and tells what of it the policy would deny that is allowed now. What has a slash or\n" +
			"ends in .p7b is a file. Exit status 4 if there is something. Needs root.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				f, err := a.askPreflight(ctx, c, args[0])
				if err != nil {
					return err
				}
				if err := a.Result(f, "%s", a.ForecastText(f)); err != nil || f.Denied() == 0 {
					return err
				}
				return ui.Exit(ui.ExitLockout, ui.ErrSaid, "")
			})
		},
	}
}

func (a *app) askPreflight(ctx context.Context, c *daemon.Client, what string) (api.Forecast, error) {
	if !strings.Contains(what, "/") && !strings.HasSuffix(what, ".p7b") {
		return c.Preflight(ctx, what)
	}
	raw, err := a.Read(what)
	if err != nil {
		return api.Forecast{}, err
	}
	return c.PreflightOf(ctx, raw)
}
