package daemon

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/plain"
)

// completionWait is how long a shell waits for the daemon.
const completionWait = time.Second

// Names lets shells complete the name of a policy, if the daemon answers.
func (d *Asker) Names(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	c := client.New(d.socket)
	defer c.Close()
	all, err := c.List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, i := range all {
		if plain.Name(i.Name) == i.Name {
			names = append(names, i.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
