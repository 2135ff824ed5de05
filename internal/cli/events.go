package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/controlrpc"
)

func (a *app) events() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "events", Short: "Show recent decisions", Args: none,
		Long: "Events shows the last decisions that iped recorded: every denial, also in permissive mode,\n" +
			"and with success audit what was allowed as well. Needs root.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *controlrpc.Client) error {
				return c.Events(ctx, follow, a.printRecord)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new decisions until interrupted")
	return cmd
}

func (a *app) printRecord(r controlrpc.Record) error {
	if a.json {
		return a.printJSON(r)
	}
	st := green
	if r.Action == "DENY" {
		st = red
		if !r.Enforcing {
			st = yellow
		}
	}
	file := "no file"
	if r.Device != "" {
		file = fmt.Sprintf("%s on %s inode %d", r.Path, r.Device, r.Inode)
	}
	mode := ""
	if !r.Enforcing {
		mode = " (permissive)"
	}
	return a.emit([]byte(fmt.Sprintf("%s %s%s %s %s by %s[%d]: %s: %s\n", r.Time.UTC().Format(time.RFC3339),
		a.paint(a.stdout, st, r.Action), mode, r.Op, r.Hook, printable(r.Comm), r.PID, printable(file), printable(r.Rule))))
}
