package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/controlrpc"
	"github.com/ipe-linux/ipe/internal/plain"
)

// shownFindings and shownProcesses are what fits a terminal; JSON has all.
const (
	shownFindings  = 20
	shownProcesses = 3
)

func (a *app) preflight() *cobra.Command {
	return &cobra.Command{
		Use: "preflight NAME|FILE.p7b", Short: "Show what a policy would newly deny, and change nothing",
		Args: ui.Exactly(1, "one NAME or FILE.p7b"), ValidArgsFunction: a.deployedNames,
		Long: "Preflight looks at what processes have in memory now, and at init, iped, ipe, shells and\n" +
			"logins, and tells what of it the policy would deny that is allowed now. What has a slash or\n" +
			"ends in .p7b is a file. Exit status 4 if there is something. Needs root.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *controlrpc.Client) error {
				f, err := a.askPreflight(ctx, c, args[0])
				if err != nil {
					return err
				}
				if err := a.Result(f, "%s", a.forecastText(f)); err != nil || denied(f) == 0 {
					return err
				}
				return ui.Exit(ui.ExitLockout, ui.ErrSaid, "")
			})
		},
	}
}

func (a *app) askPreflight(ctx context.Context, c *controlrpc.Client, what string) (controlrpc.Forecast, error) {
	if !strings.Contains(what, "/") && !strings.HasSuffix(what, ".p7b") {
		return c.Preflight(ctx, what)
	}
	raw, err := a.Read(what)
	if err != nil {
		return controlrpc.Forecast{}, err
	}
	return c.PreflightOf(ctx, raw)
}

// change is ask for what preflight may refuse, and with force does not.
func (a *app) change(cmd *cobra.Command, force bool, fn func(context.Context, *controlrpc.Client) error) error {
	return a.ask(cmd, func(ctx context.Context, c *controlrpc.Client) error {
		if force {
			c = c.Forced()
		}
		err := fn(ctx, c)
		var refusal *controlrpc.Error
		if !errors.As(err, &refusal) || refusal.Forecast == nil {
			return err
		}
		if err := a.Result(refusal, "%s", a.forecastText(*refusal.Forecast)); err != nil {
			return err
		}
		return ui.Exit(ui.ExitLockout, err, refusal.Hint())
	})
}

// addForce adds the flag that does without preflight.
func addForce(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "also if code would be denied that runs now")
}

func denied(f controlrpc.Forecast) int { return len(f.Findings) + f.Omitted }

func (a *app) forecastText(f controlrpc.Forecast) string {
	var b strings.Builder
	n := denied(f)
	if n == 0 {
		fmt.Fprintf(&b, "%s %s: of %d files in use, with %d processes, none would newly be denied\n", plain.Name(f.Policy), f.Version, f.Files, f.Processes)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s would newly deny, of %d files in use:\n", plain.Name(f.Policy), f.Version, f.Files)
	memory := false
	for _, x := range f.Findings[:min(len(f.Findings), shownFindings)] {
		memory = memory || x.Memory
		fmt.Fprintf(&b, "  %s%s%s: %s\n", a.Paint(ui.Red, whatText(x)), roleText(x.Roles), usersText(x), plain.Text(x.Rule))
	}
	if n > shownFindings {
		fmt.Fprintf(&b, "  and %d more, which --json shows\n", n-shownFindings)
	}
	fmt.Fprintln(&b, "What is in memory already stays there; starting it anew would fail.")
	if memory {
		fmt.Fprintln(&b, "Memory without a file is that of compilers at run time, for one.")
	}
	return b.String()
}

func whatText(x controlrpc.Finding) string {
	switch {
	case x.Memory:
		return "memory without a file"
	case x.Path == "":
		return fmt.Sprintf("inode %d on %s", x.Inode, x.Device)
	}
	return plain.Name(x.Path)
}

func roleText(roles []string) string {
	if len(roles) == 0 {
		return ""
	}
	return " (" + strings.Join(roles, ", ") + ")"
}

func usersText(x controlrpc.Finding) string {
	var names []string
	for _, p := range x.Processes[:min(len(x.Processes), shownProcesses)] {
		names = append(names, fmt.Sprintf("%s[%d]", plain.Name(p.Comm), p.PID))
	}
	if len(names) == 0 {
		return ""
	}
	text := " in " + strings.Join(names, ", ")
	if more := x.Users - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
