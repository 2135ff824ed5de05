package files

import (
	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/measure"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/plain"
)

func (a *app) fsMeasure() *cobra.Command {
	var t selection
	cmd := &cobra.Command{
		Use: "measure FILE...", Short: "Print the digests that the kernel has of fs-verity files", Args: ui.Some("at least one FILE or directory"),
		Long: "Measure asks the kernel, as \"fsverity measure\" does: nothing is read or computed. A file on which\n" +
			"fs-verity is not enabled is an error, in directories, too.",
		Example: "  ipe fsverity measure --executable /opt/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Args = args
			if err := t.check(cmd); err != nil {
				return err
			}
			return a.printEach(nil, func(m measure.Result) error {
				return a.Result(fileDigest{File: m.Path, Digest: m.Digest.String(), Size: m.Size}, "%v %s\n", m.Digest, plain.Name(m.Path))
			}, func(each func(measure.Result) error) error { return measure.InKernel(cmd.Context(), &t.Tree, each) })
		},
	}
	t.flags(cmd)
	return cmd
}
