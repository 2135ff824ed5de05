package machine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/audit"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/cli/ui/daemon"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/plain"
)

func (a *app) status() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say whether this machine enforces a policy, and how that is known", Args: ui.None,
		Long: "Status reads back what the kernel holds. It says enforcing only if the last self-test saw the\n" +
			"kernel deny what the active policy denies.\n\n" +
			"With --check it prints the first line alone, and the exit status is 0 if the policy is enforced,\n" +
			"1 if not, 3 if iped does not answer, and 4 if that is not proven. With --json, state is one of\n" +
			"enforcing, permissive, no policy, not enforcing and not proven, and reasons say why.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.Ask(cmd, func(ctx context.Context, c *daemon.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				text := a.statusText(st)
				if check {
					text = a.Summary(st.Summary) + "\n"
				}
				if err := a.Result(st, "%s", text); err != nil || !check {
					return err
				}
				return verdictOn(st)
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only the first line, and an exit status that says the same")
	return cmd
}

// verdictOn gives a state its exit code. An older iped does not tell it.
func verdictOn(st api.Status) error {
	switch st.State {
	case api.StateEnforcing:
		return nil
	case api.StateUnproven:
		return ui.Exit(ui.ExitUnproven, ui.ErrSaid, "")
	case "":
		return ui.Exit(ui.ExitUnproven, errors.New("this iped is older than ipe, and does not tell its state"),
			"systemctl restart iped starts the new one; the kernel goes on enforcing meanwhile")
	}
	return ui.ErrSaid
}

func (a *app) statusText(st api.Status) string {
	var b strings.Builder
	fmt.Fprintln(&b, a.Summary(st.Summary))
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", label, plain.Text(fmt.Sprintf(format, args...)))
	}
	if st.Active == nil {
		row("policy", "none")
	} else {
		row("policy", "%s %s, %s, sha256:%.16s", plain.Name(st.Active.Name), st.Active.Version, ui.Count(st.Active.Rules, "rule"), st.Active.SHA256)
		row("signed by", "%s", signedBy(st.Active))
	}
	row("mode", "%s", modeText(st.Mode))
	row("engine", "%s, generation %d%s", st.Engine, st.Kernel.Generation, adopted(st))
	if st.EngineReason != "" {
		row("", "because: %s", st.EngineReason)
	}
	row("profile", "%s%s%s", st.Kernel.Profile, loaded(st), tables(st.Kernel))
	for i, line := range rules(st.Kernel.Rules) {
		row([]string{"rules", ""}[min(i, 1)], "%s", line)
	}
	row("hooks", "%s", orNone(strings.Join(st.Kernel.Hooks, " ")))
	row("trust", "%s", trustText(st))
	if n := st.Kernel.SignedRoots; n > 0 {
		row("volumes", "%d signed by root hash, signatures checked by iped", n)
	}
	row("decisions", "%s", recorded(st))
	if len(st.Users) > 0 {
		row("", "over the share of their user: %s", overShare(st))
	}
	for _, sink := range st.Sinks {
		row("records", "%s: %d written, %d lost%s", sink.Name, sink.Written, sink.Lost, because(sink.Error))
	}
	a.selfTestText(&b, st.SelfTest)
	for _, c := range st.Capabilities {
		if !c.Available {
			row("lacking", "%s: %s", c.Name, c.Detail)
		}
	}
	for _, p := range st.Problems {
		fmt.Fprintf(&b, "%s %s\n", a.Paint(ui.Red, "problem   "), plain.Text(p))
	}
	return b.String()
}

// loaded says which profile asks for that; without one, iped's command line does. Whoever
// has upgraded reads what there is to ask for.
func loaded(st api.Status) string {
	p := st.Profile
	switch {
	case p == nil && st.Kernel.Profile == api.ProfileCompat && st.Engine != api.EngineSecurityfs:
		return ", as before there were profiles; iped --profile strict asks for more"
	case p == nil:
		return ""
	case p.Error != "" && p.InForce:
		return fmt.Sprintf(", by %s; in force until iped starts anew, see the problem below", known(p))
	case p.Error != "":
		return fmt.Sprintf("; %s %s cannot be used, see the problem below", plain.Name(p.Name), p.Version)
	case p.Overrides != "":
		return fmt.Sprintf(", by %s; it overrules iped --profile %s", known(p), p.Overrides)
	}
	return ", by " + known(p)
}

func known(p *api.Profile) string {
	return fmt.Sprintf("%s %s, %s, signed by %s", plain.Name(p.Name), p.Version, ui.Count(p.Exceptions, "exception"), strings.Join(p.Signers, "; "))
}

// tables says what is known of the tables of mapped devices, in a profile that asks.
func tables(k api.KernelState) string {
	var b strings.Builder
	if k.Swapped > 0 {
		fmt.Fprintf(&b, "; no facts from %s that had another table before", ui.Count(k.Swapped, "mapped device"))
	}
	if k.UnknownTables > 0 {
		fmt.Fprintf(&b, "; not known whether %s had another table before", ui.Count(k.UnknownTables, "mapped device"))
	}
	return b.String()
}

// rules are the strict rules that are looked at, those that found something one by one.
func rules(all []api.StrictRule) (lines []string) {
	by := map[string][]string{}
	for _, r := range all {
		by[r.Switch] = append(by[r.Switch], r.Rule)
	}
	for _, word := range []string{"enforce", "monitor"} {
		if len(by[word]) > 0 {
			lines = append(lines, word+": "+strings.Join(by[word], " "))
		}
	}
	for _, r := range all {
		if r.Refused > 0 || r.Monitored > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d refused, %d monitored", r.Rule, r.Refused, r.Monitored))
		}
	}
	return lines
}

func (a *app) selfTestText(b *strings.Builder, t *api.SelfTest) {
	if t == nil {
		fmt.Fprintf(b, "%-11s%s\n", "self-test", "none has run")
		return
	}
	ok := 0
	for _, p := range t.Probes {
		if p.OK {
			ok++
		}
	}
	fmt.Fprintf(b, "%-11s%d of %d as the policy demands, %s\n", "self-test", ok, len(t.Probes), t.Time.UTC().Format(time.RFC3339))
	for _, p := range t.Probes {
		mark := a.Paint(ui.Green, "ok")
		switch {
		case p.Unclear:
			mark = a.Paint(ui.Yellow, "proves nothing")
		case !p.OK:
			mark = a.Paint(ui.Red, "WRONG")
		}
		fmt.Fprintf(b, "           %s: demanded %s, got %s: %s\n", plain.Text(p.Name), plain.Text(p.Want), plain.Text(p.Got), mark)
	}
}

func signedBy(i *api.Info) string {
	if i.Boot {
		return "nobody, it is the boot policy"
	}
	return orNone(strings.Join(i.Signers, "; "))
}

func trustText(st api.Status) string {
	if st.Trust.Kind != api.TrustKernel {
		return ui.Count(st.Anchors, "certificate")
	}
	if st.Anchors == 0 {
		return "the kernel's keyrings"
	}
	return "the kernel's keyrings and " + ui.Count(st.Anchors, "certificate")
}

// recorded says which decisions are known of.
func recorded(st api.Status) string {
	if st.Kernel.Silent != "" {
		return "none can be recorded: " + st.Kernel.Silent
	}
	merged := ""
	if st.Merged > 0 {
		merged = fmt.Sprintf(", %d merged with equal ones", st.Merged)
	}
	return fmt.Sprintf("%d recorded%s, %d lost", st.Recorded, merged, st.Kernel.Lost+st.OverShare)
}

// overShare says whose decisions are not recorded, and how many.
func overShare(st api.Status) string {
	var all []string
	for _, u := range st.Users {
		who := fmt.Sprintf("uid %d", u.UID)
		if u.UID == audit.Unset {
			who = "others"
		}
		all = append(all, fmt.Sprintf("%s %d", who, u.Count))
	}
	return strings.Join(all, ", ")
}

func adopted(st api.Status) string {
	switch {
	case !st.Kernel.Adopted:
		return ""
	case st.Engine == api.EngineSecurityfs:
		return ", had a policy before this iped started"
	}
	return ", taken over from an earlier iped"
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
