package measure

import (
	"context"
	"os"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Tree measures a file and writes its hash tree to another, unless that has no name. It
// returns the descriptor, whose digest is the file's.
func Tree(ctx context.Context, file, tree string, p fsverity.Params) (d fsverity.Descriptor, err error) {
	in, err := os.OpenFile(file, walk.OpenFlags, 0)
	if err != nil {
		return d, err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return d, err
	}
	if tree == "" {
		return fsverity.Build(ctx, in, st.Size(), nil, p, merkle.Options{})
	}
	err = whole(tree, func(out *os.File) (err error) {
		d, err = fsverity.Build(ctx, in, st.Size(), out, p, merkle.Options{})
		return err
	})
	return d, err
}
