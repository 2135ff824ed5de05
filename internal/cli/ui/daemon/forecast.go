package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/control/rpc/client"
	"github.com/ipe-linux/ipe/internal/plain"
)

// shownFindings and shownProcesses are what fits a terminal; JSON has all.
const (
	shownFindings  = 20
	shownProcesses = 3
)

// Change is Ask for what preflight may refuse, and with force does not.
func (d *Asker) Change(cmd *cobra.Command, force bool, fn func(context.Context, *client.Client) error) error {
	return d.Ask(cmd, func(ctx context.Context, c *client.Client) error {
		if force {
			c = c.Forced()
		}
		err := fn(ctx, c)
		var refusal *api.Error
		if !errors.As(err, &refusal) || refusal.Forecast == nil {
			return err
		}
		if err := d.Result(refusal, "%s", d.ForecastText(*refusal.Forecast)); err != nil {
			return err
		}
		return ui.Exit(ui.ExitLockout, err, refusal.Hint())
	})
}

// AddForce adds the flag that does without preflight.
func AddForce(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "also if code would be denied that runs now")
}

// ForecastText is a forecast for people.
func (d *Asker) ForecastText(f api.Forecast) string {
	var b strings.Builder
	n := f.Denied()
	if n == 0 {
		fmt.Fprintf(&b, "%s %s: of %d files in use, with %d processes, none would newly be denied\n", plain.Name(f.Policy), f.Version, f.Files, f.Processes)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s would newly deny, of %d files in use:\n", plain.Name(f.Policy), f.Version, f.Files)
	memory := false
	for _, x := range f.Findings[:min(len(f.Findings), shownFindings)] {
		memory = memory || x.Memory
		fmt.Fprintf(&b, "  %s%s%s: %s\n", d.Paint(ui.Red, whatText(x)), roleText(x.Roles), usersText(x), plain.Text(x.Rule))
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

func whatText(x api.Finding) string {
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

func usersText(x api.Finding) string {
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
