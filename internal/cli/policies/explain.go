package policies

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy"
)

// explanation is the result of policy explain.
type explanation struct {
	File   string      `json:"file"`
	Op     string      `json:"op"`
	Action string      `json:"action"`
	Scope  string      `json:"scope"`
	Rule   string      `json:"rule"`
	Line   int         `json:"line"`
	Tried  []triedRule `json:"tried"`
}

// triedRule is a rule of the operation up to and with the one that matched.
type triedRule struct {
	Rule    string `json:"rule"`
	Line    int    `json:"line"`
	Matches bool   `json:"matches"`
	// False lists the properties that do not hold.
	False []string `json:"false"`
}

// facts are the flags that describe the file.
type facts struct {
	op                 string
	boot, dmSig, fsSig bool
	rootHash, fileHash string
}

func (a *app) explain() *cobra.Command {
	var f facts
	cmd := &cobra.Command{
		Use: "explain FILE", Short: "Say what a policy decides about a file, and why", Args: ui.Exactly(1, "one FILE"),
		Long: "Explain evaluates the policy text FILE for one event. The file in question has no\n" +
			"trust facts but those given by flags.",
		Example: "  ipe policy explain site.pol --op EXECUTE --dmverity-signature",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runExplain(cmd, args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.op, "op", "EXECUTE", "`operation` in question: "+strings.Join(ui.Operations(), ", "))
	fl.BoolVar(&f.boot, "boot-verified", false, "the file came with the initramfs")
	fl.StringVar(&f.rootHash, "dmverity-roothash", "", "root hash of its dm-verity volume, as `ALG:HEX`")
	fl.BoolVar(&f.dmSig, "dmverity-signature", false, "that root hash is signed")
	fl.StringVar(&f.fileHash, "fsverity-digest", "", "its fs-verity digest, as `ALG:HEX`")
	fl.BoolVar(&f.fsSig, "fsverity-signature", false, "that digest carries a verified built-in signature")
	ui.Choices(cmd, "op", ui.Operations()...)
	return cmd
}

func (a *app) runExplain(cmd *cobra.Command, file string, f facts) error {
	event, err := f.event()
	if err != nil {
		return ui.Usage(cmd, "%w", err)
	}
	text, err := a.Read(file)
	if err != nil {
		return err
	}
	p, err := policy.Parse(text)
	if err != nil {
		a.texts.Diagnose(file, text, err)
		return ui.ErrSaid
	}
	x, err := explainEvent(file, p, event)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(x)
	}
	return a.printExplanation(x)
}

// event turns the flags into the question that is put to the policy.
func (f facts) event() (eval.Event, error) {
	op, err := policy.ParseOp(strings.ToUpper(f.op))
	e := eval.Event{Op: op, Evidence: eval.Evidence{
		BootVerified: f.boot, RootHashSigned: f.dmSig, FileDigestSigned: f.fsSig}}
	if err != nil {
		return e, fmt.Errorf("--op %s: not one of %s", f.op, strings.Join(ui.Operations(), ", "))
	}
	if e.Evidence.RootHash, err = optionalDigest("--dmverity-roothash", f.rootHash); err != nil {
		return e, err
	}
	e.Evidence.FileDigest, err = optionalDigest("--fsverity-digest", f.fileHash)
	return e, err
}

func optionalDigest(flag, value string) (digest.Digest, error) {
	if value == "" {
		return digest.Digest{}, nil
	}
	d, err := digest.Parse(value)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s: %w", flag, err)
	}
	return d, nil
}

func explainEvent(file string, p *policy.Policy, e eval.Event) (explanation, error) {
	trace := eval.Explain(p, e)
	st, err := eval.StatementOf(p, e.Op, trace.Decision)
	if err != nil {
		return explanation{}, err
	}
	x := explanation{File: file, Op: e.Op.String(), Action: st.Action.String(), Scope: st.Scope.String(), Rule: st.String(), Tried: []triedRule{}}
	for _, r := range trace.Rules {
		t := triedRule{Line: r.Rule.Line, Rule: r.Rule.String(), Matches: r.Matched, False: []string{}}
		for _, prop := range r.Properties {
			if !prop.Holds {
				t.False = append(t.False, prop.Property.String())
			}
		}
		if r.Matched {
			x.Line = t.Line
		}
		x.Tried = append(x.Tried, t)
	}
	return x, nil
}

func (a *app) printExplanation(x explanation) error {
	var b strings.Builder
	for _, t := range x.Tried {
		mark := "no match"
		if t.Matches {
			mark = "matches"
		}
		fmt.Fprintf(&b, "line %d: %s: %s\n", t.Line, mark, plain.Text(t.Rule))
		for _, p := range t.False {
			fmt.Fprintf(&b, "    false: %s\n", plain.Text(p))
		}
	}
	st := ui.Green
	if x.Action == policy.Deny.String() {
		st = ui.Red
	}
	fmt.Fprintf(&b, "%s %s, decided by %s: %s\n", x.Op, a.Paint(st, x.Action), scopeText(x.Scope), plain.Text(x.Rule))
	return a.Emit([]byte(b.String()))
}

// scopeText says in words what kind of statement decided.
func scopeText(scope string) string {
	switch scope {
	case policy.ScopeRule.String():
		return "a rule"
	case policy.ScopeOp.String():
		return "the operation's default"
	}
	return "the global default"
}
