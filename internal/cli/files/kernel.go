package files

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
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
			return a.printEach(nil, func(m measured) error {
				return a.Result(fileDigest{File: m.path, Digest: m.digest.String(), Size: m.size}, "%v %s\n", m.digest, plain.Name(m.path))
			}, func(each func(measured) error) error { return measureInKernel(cmd.Context(), &t.Tree, each) })
		},
	}
	t.flags(cmd)
	return cmd
}

// measureInKernel gives each file with the kernel's digest.
func measureInKernel(ctx context.Context, t *walk.Tree, each func(measured) error) error {
	n := 0
	err := inorder.Do(ctx, t.Files, func() func(walk.File) measured { return askKernel }, func(m measured) error {
		if errors.Is(m.err, walk.ErrNotAsked) {
			return nil
		}
		n++
		return each(m)
	})
	if err == nil && n == 0 {
		return t.ErrNothing()
	}
	return err
}

// askKernel measures one file.
func askKernel(file walk.File) measured {
	defer file.Done()
	m := measured{path: file.Path}
	f, err := file.Open()
	if err != nil {
		m.err = err
		return m
	}
	defer f.Close()
	m.size = f.Size
	if m.digest, err = fsioctl.Measure(f.File()); err != nil {
		m.err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
	}
	return m
}
