package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/internal/inorder"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/internal/plain"
)

// InKernel gives each file of a tree with the kernel's digest: nothing is read.
func InKernel(ctx context.Context, t *walk.Tree, each func(Result) error) error {
	n := 0
	err := inorder.Do(ctx, t.Files, func() func(walk.File) Result { return askKernel }, func(m Result) error {
		if errors.Is(m.Err, walk.ErrNotAsked) {
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
func askKernel(file walk.File) Result {
	defer file.Done()
	m := Result{Path: file.Path}
	f, err := file.Open()
	if err != nil {
		m.Err = err
		return m
	}
	defer f.Close()
	m.Size = f.Size
	if m.Digest, err = fsioctl.Measure(f.File()); err != nil {
		m.Err = fmt.Errorf("%s: %w", plain.Name(file.Path), err)
	}
	return m
}
