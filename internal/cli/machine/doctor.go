package machine

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/control/api"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/internal/trust"
)

// diagnosis is the result of doctor.
type diagnosis struct {
	abi.Report
	// Ready: nothing that was seen stands against the engine of Auto.
	Ready bool `json:"ready"`
	// Auto is the engine that iped --engine auto would start as it is installed.
	Auto api.Choice `json:"auto"`
	// Ahead is what else a guarded boot needs. It does not count for Ready.
	Ahead []step `json:"ahead"`
}

func (a *app) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Say what this kernel can do, what a guarded boot needs, and what to change", Args: ui.None,
		Long: "Doctor probes the running kernel, feature by feature, and changes nothing: programs that it\n" +
			"loads to see whether the kernel takes them are attached to nothing. It needs no daemon, and\n" +
			"root only for a few probes. Then it looks at the road ahead: the root file system, the service\n" +
			"and its place in the boot, trusted certificates, stored policies, with what to do about each.\n\n" +
			"Exit status 1 if something stands against enforcing here; for root, who can look everywhere,\n" +
			"also if the list of security modules cannot be read.",
		RunE: func(*cobra.Command, []string) error {
			return a.runDoctor(abi.Examine(), api.Choose(&abi.System{}, installed()), thisRoad().ahead(), os.Geteuid() == 0)
		},
	}
}

// trustDir is where the installed service has its certificates.
const trustDir = "/etc/ipe/trust.d"

// installed is what the installed service wishes for. Whoever may not read its
// certificates takes it that there are none.
func installed() api.Wish {
	ring, _, err := trust.ReadOwn(thisRoad().trusts().paths...)
	if err != nil {
		return api.Wish{}
	}
	return api.Wish{Certificates: ring.Certificates()}
}

// runDoctor judges as iped would. Whoever is not root could not look everywhere,
// and what it could not see does not count.
func (a *app) runDoctor(r abi.Report, auto api.Choice, ahead []step, isRoot bool) error {
	err := r.Err()
	if isRoot {
		err = r.Usable()
	}
	if auto.Engine == api.EngineSecurityfs {
		err = nil // the kernel itself enforces
	}
	if a.JSON {
		if perr := a.PrintJSON(diagnosis{Report: r, Ready: err == nil, Auto: auto, Ahead: ahead}); perr != nil {
			return perr
		}
	} else if perr := a.Emit([]byte(a.doctorText(r, auto, ahead, err == nil))); perr != nil {
		return perr
	}
	if err != nil {
		return ui.ErrSaid
	}
	return nil
}

func (a *app) doctorText(r abi.Report, auto api.Choice, ahead []step, ready bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Linux %s\n", r.Release)
	for _, sec := range []struct {
		kind  abi.Kind
		title string
	}{
		{abi.Engine, "needed to enforce by BPF programs"},
		{abi.Property, "properties that a policy may test"},
		{abi.Aid, "what engine and properties rest on"},
		{abi.Neighbour, "others at work in this kernel"},
	} {
		fmt.Fprintf(&b, "\n%s\n", a.Paint(ui.Bold, sec.title))
		for _, f := range r.Features {
			if f.Kind == sec.kind {
				a.featureText(&b, f)
			}
		}
	}
	fmt.Fprintf(&b, "\n%s\n  %s: %s\n", a.Paint(ui.Bold, "engine that iped would start"), auto.Engine, plain.Text(auto.Reason))
	fmt.Fprintf(&b, "\n%s\n", a.Paint(ui.Bold, "the road ahead"))
	for _, s := range ahead {
		a.stepText(&b, s)
	}
	b.WriteString("\n" + a.doctorVerdict(r, auto, ready) + "\n")
	return b.String()
}

// styles are those of the answers.
var styles = map[abi.State]ui.Style{abi.Yes: ui.Green, abi.No: ui.Red, abi.Unknown: ui.Yellow}

func (a *app) stepText(b *strings.Builder, s step) {
	fmt.Fprintf(b, "  %s %-29s%s\n", a.Paint(styles[s.State], fmt.Sprintf("%-8s", s.State)), s.Name, plain.Text(s.Detail))
	if s.Fix != "" {
		fmt.Fprintf(b, "%11s%s %s\n", "", a.Paint(ui.Bold, "fix:"), plain.Text(s.Fix))
	}
}

func (a *app) featureText(b *strings.Builder, f abi.Feature) {
	st := styles[f.State]
	if f.Kind == abi.Neighbour {
		st = ui.Dim
	}
	fmt.Fprintf(b, "  %s %-29s%s\n", a.Paint(st, fmt.Sprintf("%-8s", f.State)), f.Name, plain.Text(f.Detail))
	if f.State != abi.Yes && f.Kind != abi.Neighbour {
		fmt.Fprintf(b, "%11sfor %s; Linux %s or later\n", "", f.Need, f.Min)
	}
	if f.Fix != "" {
		fmt.Fprintf(b, "%11s%s %s\n", "", a.Paint(ui.Bold, "fix:"), plain.Text(f.Fix))
	}
}

// doctorVerdict is the last line: can this machine enforce?
func (a *app) doctorVerdict(r abi.Report, auto api.Choice, ready bool) string {
	const proof = "this kernel can enforce; only iped's self-test, in ipe status, proves that it does"
	if auto.Engine == api.EngineSecurityfs {
		return a.Paint(ui.Green, proof)
	}
	if r.Err() != nil {
		return a.Paint(ui.Red, "this kernel cannot enforce as it was booted: see the fixes above")
	}
	if !ready {
		return a.Paint(ui.Red, "iped would refuse to start: see the fixes above")
	}
	for _, f := range r.Features {
		if f.Kind == abi.Engine && f.State == abi.Unknown {
			return a.Paint(ui.Yellow, "not known whether this kernel can enforce: see the fixes above")
		}
	}
	return a.Paint(ui.Green, proof)
}
