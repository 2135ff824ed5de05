package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/controlrpc"
)

// completionWait is how long a shell waits for the daemon.
const completionWait = time.Second

// choices lets shells complete the value of a flag from a list.
func choices(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// deployedNames lets shells complete the name of a policy, if the daemon answers.
func (a *app) deployedNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionWait)
	defer cancel()
	client := controlrpc.NewClient(a.socket)
	defer client.Close()
	all, err := client.List(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, i := range all {
		if printable(i.Name) == i.Name {
			names = append(names, i.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
