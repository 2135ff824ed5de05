package records

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

// Formats of records.
const (
	formatText  = "text"
	formatAudit = "audit"
)

func (a *app) events() *cobra.Command {
	var follow bool
	var format string
	cmd := &cobra.Command{
		Use: "events", Short: "Show recent decisions", Args: ui.None,
		Long: "Events shows the last decisions that iped recorded: every denial, also in permissive mode,\n" +
			"and with success audit what was allowed as well. With --format audit it shows them, and\n" +
			"changes of policies and mode, as the kernel log has records of the kernel's IPE. Needs root.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(cmd, format); err != nil {
				return err
			}
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				if format == formatAudit {
					return c.Records(ctx, follow, a.printKernelLine)
				}
				return c.Events(ctx, follow, a.printRecord)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new decisions until interrupted")
	addFormat(cmd, &format)
	return cmd
}

func addFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVar(format, "format", formatText, "`form`: text, or audit for the kernel's own form")
}

func checkFormat(cmd *cobra.Command, format string) error {
	if format != formatText && format != formatAudit {
		return ui.Usage(cmd, "--format %s: not one of text, audit", format)
	}
	return nil
}

// printKernelLine prints a record as the kernel log has it.
func (a *app) printKernelLine(j api.AuditRecord) error {
	if a.JSON {
		return a.PrintJSON(j)
	}
	h, r, err := j.Record()
	if err != nil {
		return err
	}
	if j.Merged > 0 {
		return a.EmitText(append(api.AppendMerged(nil, audit.Newest, h, r, j.Merged, 0), '\n'))
	}
	return a.EmitText(append(audit.Newest.AppendKernelLog(nil, h, r), '\n'))
}

func (a *app) printRecord(r api.Record) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	file := "no file"
	if r.Device != "" {
		file = fmt.Sprintf("%s on %s inode %d", plain.Name(r.Path), r.Device, r.Inode)
	}
	if r.Strict != "" {
		return a.Emit([]byte(a.strictText(r, file)))
	}
	return a.Emit([]byte(a.decisionText(decision{r.Time, r.Action, r.Enforcing, r.Op, r.Hook, r.Comm, r.PID, file, r.Rule(), r.Merged})))
}

// decision is what a line about one says, wherever it comes from.
type decision struct {
	time       time.Time
	action     string
	enforcing  bool
	op, hook   string
	comm       string
	pid        uint32
	file, rule string
	// merged is how many there were, if this is the last of several.
	merged uint64
}

// strictText names what relaxes the rule: a switch for all, and an exception for one.
func (a *app) strictText(r api.Record, file string) string {
	st, mode, what := ui.Red, "", "DENY"
	switch {
	case !r.Enforcing:
		st, mode = ui.Yellow, " (monitored)"
	case r.Killed:
		what = "KILL"
	}
	return fmt.Sprintf("%s %s%s%s strict rule %s by %s[%d]: %s: iped --rule %s=monitor lets it happen, rule=%s in a profile for one executable\n", timeText(r.Time), times(r.Merged), a.Paint(st, what), mode,
		r.Strict, plain.Name(r.Comm), r.PID, plain.Text(file), r.Strict, r.Strict)
}

func times(merged uint64) string {
	if merged == 0 {
		return ""
	}
	return fmt.Sprintf("%d more times ", merged)
}

func (a *app) decisionText(d decision) string {
	st := ui.Green
	if d.action == "DENY" {
		st = ui.Red
		if !d.enforcing {
			st = ui.Yellow
		}
	}
	mode := ""
	if !d.enforcing {
		mode = " (permissive)"
	}
	return fmt.Sprintf("%s %s%s%s %s %s by %s[%d]: %s: %s\n", timeText(d.time), times(d.merged), a.Paint(st, d.action), mode,
		d.op, d.hook, plain.Name(d.comm), d.pid, plain.Text(d.file), plain.Text(d.rule))
}

// timeText is a dash for a record without a time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
