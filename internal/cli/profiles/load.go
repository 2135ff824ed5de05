package profiles

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/plain"
)

// running is what a load does not change at once: exceptions are given when a program is
// executed.
const running = "Processes that run already get no new exception until they are executed anew."

func (a *app) load() *cobra.Command {
	return &cobra.Command{
		Use: "load FILE.p7b", Short: "Put a signed profile in force, in the place of the loaded one", Args: ui.Exactly(1, "one FILE.p7b"),
		Long: "Load puts a signed profile in force, in the place of the loaded one, and iped keeps it across\n" +
			"reboots. Its base counts from then on, and what iped was started with no longer. A version that is\n" +
			"not newer is refused. " + running,
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.Read(args[0])
			if err != nil {
				return err
			}
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				p, err := c.LoadProfile(ctx, raw)
				if err != nil {
					return a.texts.NotLoaded(args[0], raw, err)
				}
				return a.Result(p, "loaded %s %s, base %s, %s\n%s\n", plain.Name(p.Name), p.Version, p.Base, ui.Count(p.Exceptions, "exception"), running)
			})
		},
	}
}
