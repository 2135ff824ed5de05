package files

import (
	"path"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// selection is the arguments of a command, with flags that choose among what is in
// directories.
type selection struct{ walk.Tree }

// onlyJudged is the help for the flag that keeps to what policies judge.
const onlyJudged = "in directories, only files with an executable bit, ELF files, and by their names what the kernel reads: modules, firmware, kernels to boot"

func (s *selection) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&s.Executable, "executable", false, onlyJudged)
	fl.StringArrayVar(&s.Globs, "glob", nil, "in directories, only files whose name matches this `pattern`, or whose path below the directory if it has a slash; may be repeated")
}

func (s *selection) check(cmd *cobra.Command) error {
	for _, g := range s.Globs {
		if _, err := path.Match(g, ""); err != nil {
			return ui.Usage(cmd, "--glob %s: %w", g, err)
		}
	}
	return nil
}
