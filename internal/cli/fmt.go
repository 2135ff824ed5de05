package cli

import (
	"bytes"
	"fmt"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/policy"
)

// formatFlags are those of policy fmt.
type formatFlags struct {
	write, check, diff bool
}

func (a *app) format() *cobra.Command {
	var f formatFlags
	cmd := &cobra.Command{
		Use: "fmt FILE...", Short: "Print policy texts in the one form, comments kept", Args: some("at least one FILE"),
		Long: "Fmt prints each policy in canonical form. FILE - is standard input.\n\n" +
			"With --check nothing is printed but the names of files that are not in that form;\n" +
			"the exit status is then 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.write && (f.check || f.diff) {
				return usage(cmd, "-w goes with neither --check nor --diff")
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
	refused := false
	for _, file := range files {
		src, err := a.read(file)
		if err != nil {
			return err
		}
		out, err := policy.Format(src)
		if err != nil {
			a.diagnose(file, src, err)
			refused = true
			continue
		}
		if err := a.formatted(file, src, out, f); err != nil {
			return err
		}
		refused = refused || f.check && !bytes.Equal(src, out)
	}
	if refused {
		return errSaid
	}
	return nil
}

// formatted does with one result what the flags ask for.
func (a *app) formatted(file string, src, out []byte, f formatFlags) error {
	same := bytes.Equal(src, out)
	switch {
	case f.write && file != "-":
		if same {
			return nil
		}
		return rewrite(file, out)
	case f.diff:
		return a.emit(diff.Diff(file, src, file+" (formatted)", out))
	case f.check:
		if same {
			return nil
		}
		return a.emit([]byte(file + "\n"))
	}
	return a.emit(out)
}

func (a *app) emit(b []byte) error {
	if _, err := a.stdout.Write(b); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
