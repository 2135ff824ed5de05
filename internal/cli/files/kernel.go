package files

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
)

func (a *app) fsMeasure() *cobra.Command {
	var t tree
	cmd := &cobra.Command{
		Use: "measure FILE...", Short: "Print the digests that the kernel has of fs-verity files", Args: ui.Some("at least one FILE or directory"),
		Long: "Measure asks the kernel, as \"fsverity measure\" does: nothing is read or computed. A file on which\n" +
			"fs-verity is not enabled is an error, in directories, too.",
		Example: "  ipe fsverity measure --executable /opt/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			t.args = args
			if err := t.check(cmd); err != nil {
				return err
			}
			return a.printEach(nil, func(m measured) error {
				return a.Result(fileDigest{File: m.path, Digest: m.digest.String(), Size: m.size}, "%v %s\n", m.digest, plain.Name(m.path))
			}, func(each func(measured) error) error { return measureInKernel(cmd.Context(), &t, each) })
		},
	}
	t.flags(cmd)
	return cmd
}

// measureInKernel gives each file with the kernel's digest.
func measureInKernel(ctx context.Context, t *tree, each func(measured) error) error {
	defer t.close()
	worker := func() func(treeFile) *measured { return t.measure }
	n := 0
	err := inorder.Do(ctx, t.walk, worker, func(m *measured) error {
		if m == nil {
			return nil
		}
		n++
		return each(*m)
	})
	if err == nil && n == 0 {
		return t.nothing()
	}
	return err
}

// measure returns nil for a file that is not asked for.
func (t *tree) measure(file treeFile) *measured {
	m := &measured{path: file.path}
	f, st, err := t.open(file)
	if err != nil {
		m.err = err
		return m
	}
	if f == nil {
		return nil
	}
	defer f.Close()
	m.size = st.Size()
	if m.digest, err = fsioctl.Measure(f); err != nil {
		m.err = fmt.Errorf("%s: %w", plain.Name(file.path), err)
	}
	return m
}
