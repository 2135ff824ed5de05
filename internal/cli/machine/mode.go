package machine

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

func (a *app) mode() *cobra.Command {
	var audit string
	var force bool
	cmd := &cobra.Command{
		Use: "mode [enforce|permissive]", Short: "Show or change what a denial does",
		Long: "In mode enforce a denial is an error (EACCES) to whoever asked; in mode permissive it is\n" +
			"only recorded. The mode survives reboots; if it cannot be stored, it holds all the same until\n" +
			"iped ends, and a warning says so. Enforce is refused, with exit status 4, if that would deny\n" +
			"code that runs now, unless --force is given: see ipe policy preflight.",
		ValidArgs: []string{"enforce", "permissive"},
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := modeChange(cmd, args, audit)
			if err != nil {
				return err
			}
			return a.Change(cmd, force, func(ctx context.Context, c *daemon.Client) error {
				return a.runMode(ctx, c, change)
			})
		},
	}
	cmd.Flags().StringVar(&audit, "success-audit", "", "also record what is allowed: `on|off`")
	daemon.AddForce(cmd, &force)
	ui.Choices(cmd, "success-audit", "on", "off")
	return cmd
}

func modeChange(cmd *cobra.Command, args []string, audit string) (api.ModeChange, error) {
	var ch api.ModeChange
	on, off := true, false
	switch {
	case len(args) > 1:
		return ch, ui.Usage(cmd, "one mode at most")
	case len(args) == 1 && args[0] == "enforce":
		ch.Enforce = &on
	case len(args) == 1 && args[0] == "permissive":
		ch.Enforce = &off
	case len(args) == 1:
		return ch, ui.Usage(cmd, "mode %s: not enforce or permissive", plain.Name(args[0]))
	}
	switch audit {
	case "":
	case "on":
		ch.SuccessAudit = &on
	case "off":
		ch.SuccessAudit = &off
	default:
		return ch, ui.Usage(cmd, "--success-audit %s: not on or off", audit)
	}
	return ch, nil
}

func (a *app) runMode(ctx context.Context, c *daemon.Client, change api.ModeChange) error {
	var m api.ModeResult
	var err error
	if change == (api.ModeChange{}) {
		m.Mode, err = c.Mode(ctx)
	} else {
		m, err = c.SetMode(ctx, change)
	}
	if err != nil {
		return err
	}
	if m.NotKept != "" {
		a.WarnOf("", "%s", m.NotKept)
	}
	return a.Result(m, "%s\n", modeText(m.Mode))
}

func modeText(m api.Mode) string {
	text := "permissive"
	if m.Enforce {
		text = "enforce"
	}
	if m.SuccessAudit {
		return text + ", success audit on"
	}
	return text + ", success audit off"
}
