package records

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

// auditQuery is what of a log is wanted.
type auditQuery struct {
	types   []string
	action  string
	since   string
	until   string
	format  string
	numbers []audit.Type
	from    time.Time
	to      time.Time
}

func (a *app) audit() *cobra.Command {
	var q auditQuery
	cmd := &cobra.Command{
		Use: "audit [FILE...]", Short: "Read records of IPE from kernel logs and audit logs",
		Long: "Audit reads logs, or standard input, and shows the records of IPE in them: those of the kernel\n" +
			"log (dmesg, journalctl -k), of auditd's log, and of the files that iped --audit writes. All other\n" +
			"lines are passed over. A record that cannot be read, because it was cut off for example, is an\n" +
			"error that names file and line; the others are shown all the same. Needs no daemon.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.prepare(cmd, time.Now()); err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"-"}
			}
			return a.readLogs(args, &q)
		},
	}
	cmd.Flags().StringArrayVar(&q.types, "type", nil, "only records of this `type`: access, config, load, status or a number; may be repeated")
	cmd.Flags().StringVar(&q.action, "action", "", "only decisions with this `action`: ALLOW or DENY")
	cmd.Flags().StringVar(&q.since, "since", "", "only from this `time` on: RFC 3339, or how long ago, such as 90m")
	cmd.Flags().StringVar(&q.until, "until", "", "only up to this `time`")
	addFormat(cmd, &q.format)
	return cmd
}

// typeNames are what --type takes beside numbers and the kernel's names.
var typeNames = []struct {
	name string
	typ  audit.Type
}{{"access", audit.TypeAccess}, {"config", audit.TypeConfigChange}, {"load", audit.TypePolicyLoad}, {"status", audit.TypeStatus}}

func (q *auditQuery) prepare(cmd *cobra.Command, now time.Time) error {
	if err := checkFormat(cmd, q.format); err != nil {
		return err
	}
	for _, name := range q.types {
		typ, ok := parseType(name)
		if !ok {
			return ui.Usage(cmd, "--type %s: not one of access, config, load, status, or their numbers", name)
		}
		q.numbers = append(q.numbers, typ)
	}
	action := q.action
	q.action = strings.ToUpper(action)
	if q.action != "" && q.action != "ALLOW" && q.action != "DENY" {
		return ui.Usage(cmd, "--action %s: not one of ALLOW, DENY", action)
	}
	for _, t := range []struct {
		flag, value string
		to          *time.Time
	}{{"since", q.since, &q.from}, {"until", q.until, &q.to}} {
		var err error
		if *t.to, err = parseTime(t.value, now); err != nil {
			return ui.Usage(cmd, "--%s %s: neither a time such as %s nor a duration such as 90m", t.flag, t.value, now.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

func parseType(name string) (audit.Type, bool) {
	for _, t := range typeNames {
		if strings.EqualFold(name, t.name) || strings.EqualFold(name, t.typ.String()) || name == strconv.Itoa(int(t.typ)) {
			return t.typ, true
		}
	}
	return 0, false
}

// parseTime reads a time, or a duration before now; the zero time for nothing.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	return time.Parse(time.RFC3339, text)
}

// wants reports whether a record is asked for. One without a time is in no range.
func (q *auditQuery) wants(h audit.Header, r audit.Record) bool {
	if len(q.numbers) > 0 && !slices.Contains(q.numbers, r.Type()) {
		return false
	}
	if q.action != "" {
		if access, ok := r.(audit.Access); !ok || access.Rule.Action.String() != q.action {
			return false
		}
	}
	return (q.from.IsZero() || !h.Time.Before(q.from)) && (q.to.IsZero() || !h.Time.IsZero() && !h.Time.After(q.to))
}

// errUnread ends a command that could not read all records.
var errUnread = errors.New("records could not be read")

// readLogs shows what is wanted of each file. What is wrong with one does not keep it
// from the others.
func (a *app) readLogs(names []string, q *auditQuery) error {
	bad := 0
	for _, name := range names {
		n, err := a.readLog(name, q)
		bad += n
		if err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%s: %w", ui.Count(bad, "line"), errUnread)
	}
	return nil
}

func (a *app) readLog(name string, q *auditQuery) (bad int, err error) {
	r, err := a.Open(name)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if line != "" {
			broken, werr := a.showLine(fmt.Sprintf("%s:%d", plain.Name(name), n), line, q)
			if broken {
				bad++
			}
			if werr != nil {
				return bad, werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return bad, nil
		case err != nil:
			return bad, fmt.Errorf("read %s: %w", plain.Name(name), err)
		}
	}
}

// showLine shows the record of a line, if it has one that is wanted. It reports
// whether there is one that cannot be read.
func (a *app) showLine(where, line string, q *auditQuery) (broken bool, err error) {
	last, merged, ok := api.SplitMerged(line)
	if ok {
		line = last
	}
	h, r, err := audit.Parse(unwrap(line))
	switch {
	case errors.Is(err, audit.ErrNotIPE):
		return false, nil
	case errors.Is(err, audit.ErrTruncated):
		a.Complain(fmt.Errorf("%s: the record is cut off: %w", where, err))
		return true, nil
	case err != nil:
		a.Complain(fmt.Errorf("%s: %w", where, err))
		return true, nil
	case !q.wants(h, r):
		return false, nil
	}
	if a.JSON || q.format == formatAudit {
		return false, a.printKernelLine(api.AuditRecord{JSON: audit.NewJSON(h, r), Merged: merged})
	}
	return false, a.Emit([]byte(a.recordText(h, r, merged)))
}

// unwrap turns a message of iped --audit netlink, as auditd logs it, into the line of
// the record that is in it. The kernel's record is without quotes of that kind but for
// names of policies, so the last one ends it.
func unwrap(line string) string {
	const begin = " msg='ipe_type="
	head, rest, ok := strings.Cut(line, begin)
	if !ok {
		return line
	}
	before, stamp, ok := strings.Cut(head, "type=TRUSTED_APP msg=")
	stamp, _, found := strings.Cut(stamp, "): ")
	number, text, ok2 := strings.Cut(rest, " ")
	end := strings.LastIndexByte(text, '\'')
	if !ok || !found || !ok2 || end < 0 {
		return line
	}
	return before + "type=UNKNOWN[" + number + "] msg=" + stamp + "): " + text[:end]
}
