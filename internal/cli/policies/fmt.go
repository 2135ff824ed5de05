package policies

import (
	"bytes"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
	"github.com/ipe-linux/ipe/policy/syntax"
)

// formatFlags are those of policy fmt.
type formatFlags struct {
	write, check, diff bool
}

func (a *app) format() *cobra.Command {
	var f formatFlags
	cmd := &cobra.Command{
		Use: "fmt FILE...", Short: "Print policy texts in the one form, comments kept", Args: ui.Some("at least one FILE"),
		Long: "Fmt prints each policy in canonical form. FILE - is standard input.\n\n" +
			"With --check nothing is printed but the names of files that are not in that form;\n" +
			"the exit status is 1 if there are any.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.write && (f.check || f.diff):
				return ui.Usage(cmd, "-w goes with neither --check nor --diff")
			case a.JSON:
				return ui.Usage(cmd, "the result is a text, there is no --json; policy check has one")
			}
			return a.runFormat(args, f)
		},
	}
	cmd.Flags().BoolVarP(&f.write, "write", "w", false, "rewrite the files")
	cmd.Flags().BoolVar(&f.check, "check", false, "only name the files that would change")
	cmd.Flags().BoolVarP(&f.diff, "diff", "d", false, "print the changes instead of the result")
	return cmd
}

func (a *app) runFormat(files []string, f formatFlags) error {
	return each(files, func(file string) (ok bool, err error) { return a.formatFile(file, f) })
}

// formatFile formats one file and reports what stands against it; err is only
// about printing the result.
func (a *app) formatFile(file string, f formatFlags) (ok bool, err error) {
	src, err := a.Read(file)
	var out []byte
	if err == nil {
		out, err = syntax.Format(src)
	}
	inPlace := f.write && file != "-"
	if err == nil && inPlace && !bytes.Equal(src, out) {
		err = ui.Rewrite(file, out)
	}
	if err != nil {
		a.diagnose(file, src, err)
		return false, nil
	}
	if inPlace {
		return true, nil
	}
	return !f.check || bytes.Equal(src, out), a.formatted(file, src, out, f)
}

// formatted prints of one result what the flags ask for.
func (a *app) formatted(file string, src, out []byte, f formatFlags) error {
	same := bytes.Equal(src, out)
	switch {
	case f.diff:
		return a.EmitText(diff.Diff(plain.Name(file), src, plain.Name(file+" (formatted)"), out))
	case f.check:
		if same {
			return nil
		}
		return a.Emit([]byte(plain.Name(file) + "\n"))
	}
	return a.EmitText(out)
}
