package machine

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
)

func (a *app) reload() *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Have iped read anew what has changed, and wait for it", Args: ui.None,
		Long: "Reload has iped read anew the trusted certificates, the signatures of root hashes and, by\n" +
			"the certificates of now, the stored policies; it opens files of records anew. It returns when\n" +
			"that is done. systemctl reload iped does the same.\n\n" +
			"Exit status 1 if something could not be read, or a stored policy is not trusted any more: all\n" +
			"else counts nevertheless, and ipe status keeps saying what is wrong.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.Ask(cmd, a.runReload) },
	}
}

func (a *app) runReload(ctx context.Context, c *daemon.Client) error {
	r, err := c.Reload(ctx)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return a.Result(r, "reloaded, trusting %s\n", ui.Count(r.Certificates, "certificate"))
}
