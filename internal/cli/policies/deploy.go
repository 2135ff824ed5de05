package policies

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
	"github.com/ipe-linux/ipe/sign"
)

func (a *app) load() *cobra.Command {
	return &cobra.Command{
		Use: "load FILE.p7b", Short: "Deploy a signed policy, inactive", Args: ui.Exactly(1, "one FILE.p7b"),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.Read(args[0])
			if err != nil {
				return err
			}
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				i, err := c.Load(ctx, raw)
				if err != nil {
					return err
				}
				return a.Result(i, "loaded %s %s, inactive\n", plain.Name(i.Name), i.Version)
			})
		},
	}
}

func (a *app) activate() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "activate NAME", Short: "Make a deployed policy the one that decides", Args: ui.Exactly(1, "one NAME"),
		Long: "Activate makes a deployed policy the one that decides. In mode enforce it refuses, with exit\n" +
			"status 4, what would newly deny code that runs now, unless --force is given: see ipe policy\n" +
			"preflight.",
		ValidArgsFunction: a.Names,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.Change(cmd, force, func(ctx context.Context, c *daemon.Client) error {
				i, err := c.Activate(ctx, args[0])
				if err != nil {
					return err
				}
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				return a.Result(i, "active: %s %s\n%s\n", plain.Name(i.Name), i.Version, a.Summary(st.Summary))
			})
		},
	}
	daemon.AddForce(cmd, &force)
	return cmd
}

func (a *app) update() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "update FILE.p7b", Short: "Replace a deployed policy by a newer one of the same name", Args: ui.Exactly(1, "one FILE.p7b"),
		Long: "Update replaces the policy of the same name. If that one is active the new one decides at\n" +
			"once, without a moment between; then preflight may refuse it, as with activate.",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.Read(args[0])
			if err != nil {
				return err
			}
			name, err := nameIn(raw)
			if err != nil {
				return a.texts.NotLoaded(args[0], raw, err)
			}
			return a.Change(cmd, force, func(ctx context.Context, c *daemon.Client) error {
				i, err := c.Update(ctx, name, raw)
				if err != nil {
					return err
				}
				state := "inactive"
				if i.Active {
					state = "active"
				}
				return a.Result(i, "updated %s to %s, %s\n", plain.Name(i.Name), i.Version, state)
			})
		},
	}
	daemon.AddForce(cmd, &force)
	return cmd
}

// nameIn returns the name of the policy in a message, to know which to replace.
// The daemon verifies before it believes.
func nameIn(envelope []byte) (string, error) {
	e, err := sign.Inspect(envelope)
	if err != nil {
		return "", err
	}
	p, err := policy.Parse(e.Content)
	if err != nil {
		return "", fmt.Errorf("parse policy: %w", err)
	}
	return p.Name, nil
}

func (a *app) remove() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget a policy that is not active", Args: ui.Exactly(1, "one NAME"),
		ValidArgsFunction: a.Names,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				if err := c.Delete(ctx, args[0]); err != nil {
					return err
				}
				return a.Result(map[string]string{"deleted": args[0]}, "deleted %s\n", plain.Name(args[0]))
			})
		},
	}
}

func (a *app) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List deployed policies", Args: ui.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				all, err := c.List(ctx)
				if err != nil {
					return err
				}
				if a.JSON {
					return a.PrintJSON(all)
				}
				var b strings.Builder
				tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
				fmt.Fprintln(tw, "NAME\tVERSION\tSTATE\tRULES\tSHA256")
				for _, i := range all {
					fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%.16s\n", plain.Name(i.Name), i.Version,
						policyState(i), i.Rules, i.SHA256)
				}
				tw.Flush() //nolint:errcheck // a strings.Builder takes everything
				return a.Emit([]byte(b.String()))
			})
		},
	}
}

// policyState is one word or two about a policy.
func policyState(i api.Info) string {
	state := "inactive"
	if i.Active {
		state = "active"
	}
	if i.Boot {
		state += ",boot"
	} else if !i.Kept {
		state += ",unkept"
	}
	if i.Error != "" {
		state += ",unusable"
	}
	return state
}
