package texts

import (
	"bytes"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

// formatFlags are those of fmt.
type formatFlags struct {
	write, check, diff bool
}

// Format is the command that prints texts in the one form.
func (r *Room) Format() *cobra.Command {
	var f formatFlags
	cmd := &cobra.Command{
		Use: "fmt FILE...", Short: "Print " + r.noun + " texts in the one form, comments kept", Args: ui.Some("at least one FILE"),
		Long: "Fmt prints each " + r.noun + " in canonical form. FILE - is standard input.\n\n" +
			"With --check nothing is printed but the names of files that are not in that form;\n" +
			"the exit status is 1 if there are any.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.write && (f.check || f.diff):
				return ui.Usage(cmd, "-w goes with neither --check nor --diff")
			case r.JSON:
				return ui.Usage(cmd, "the result is a text, there is no --json; %s check has one", r.noun)
			}
			return r.runFormat(args, f)
		},
	}
	cmd.Flags().BoolVarP(&f.write, "write", "w", false, "rewrite the files")
	cmd.Flags().BoolVar(&f.check, "check", false, "only name the files that would change")
	cmd.Flags().BoolVarP(&f.diff, "diff", "d", false, "print the changes instead of the result")
	return cmd
}

func (r *Room) runFormat(files []string, f formatFlags) error {
	return Each(files, func(file string) (ok bool, err error) { return r.formatFile(file, f) })
}

// formatFile formats one file and reports what stands against it; err is only
// about printing the result.
func (r *Room) formatFile(file string, f formatFlags) (ok bool, err error) {
	src, err := r.Read(file)
	var out []byte
	if err == nil {
		out, err = r.format(src)
	}
	inPlace := f.write && file != "-"
	if err == nil && inPlace && !bytes.Equal(src, out) {
		err = ui.Rewrite(file, out)
	}
	if err != nil {
		r.Diagnose(file, src, err)
		return false, nil
	}
	if inPlace {
		return true, nil
	}
	return !f.check || bytes.Equal(src, out), r.formatted(file, src, out, f)
}

// formatted prints of one result what the flags ask for.
func (r *Room) formatted(file string, src, out []byte, f formatFlags) error {
	same := bytes.Equal(src, out)
	switch {
	case f.diff:
		return r.EmitText(diff.Diff(plain.Name(file), src, plain.Name(file+" (formatted)"), out))
	case f.check:
		if same {
			return nil
		}
		return r.Emit([]byte(plain.Name(file) + "\n"))
	}
	return r.EmitText(out)
}
