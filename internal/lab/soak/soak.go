//go:build linux

// Package soak runs real programs of Debian 12 in a test guest, under a policy that denies
// by default and under a strict profile, and compares what becomes of them with a table:
// what the policy alone takes from a program, what the profile takes beyond that, and which
// lines of a profile give it back.
//
// All programs are on one volume of dm-verity, whose root hash the policy allows, so that
// nothing is denied but what a program makes at run time. "make soak" runs it, and nothing
// else does: it downloads 300 packages, and takes long.
package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// Volume is an image of the packages with its hash tree, in two files.
type Volume struct {
	Data, Hashes string
	Root         digest.Digest
}

// Seal makes the volume of the table's programs in dir.
func Seal(ctx context.Context, dir string) (Volume, error) {
	tree, err := debian.Tree(ctx, packages...)
	if err != nil {
		return Volume{}, err
	}
	return seal(ctx, dir, tree, files, "-all-root") // whoever has unpacked them
}

// SealRoot makes that of a whole system.
func SealRoot(ctx context.Context, dir string) (Volume, error) {
	tree, err := debian.Installed(ctx, rootPackages...)
	if err != nil {
		return Volume{}, err
	}
	return seal(ctx, dir, tree, nil)
}

// seal makes a volume of a tree, and of further files. The file system is not compressed,
// which an emulated processor would take long to undo.
func seal(ctx context.Context, dir, tree string, files map[string]string, options ...string) (Volume, error) {
	v := Volume{Data: filepath.Join(dir, "programs.img"), Hashes: filepath.Join(dir, "programs.hash")}
	args := append([]string{tree, v.Data, "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX"}, options...)
	for name, text := range files {
		own := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return Volume{}, fmt.Errorf("seal programs: %w", err)
		}
		args = append(args, "-p", fmt.Sprintf("%s f 644 0 0 cat %s", name, own))
	}
	if _, err := debian.Output(ctx, dir, "mksquashfs", args...); err != nil {
		return Volume{}, fmt.Errorf("seal programs: %w", err)
	}
	var err error
	if v.Root, err = format(ctx, v); err != nil {
		return Volume{}, fmt.Errorf("seal programs: %w", err)
	}
	return v, nil
}

func format(ctx context.Context, v Volume) (digest.Digest, error) {
	data, err := os.Open(v.Data)
	if err != nil {
		return digest.Digest{}, err
	}
	defer data.Close()
	st, err := data.Stat()
	if err != nil {
		return digest.Digest{}, err
	}
	hashes, err := os.Create(v.Hashes)
	if err != nil {
		return digest.Digest{}, err
	}
	defer hashes.Close()
	s := dmverity.Default()
	s.UUID, s.Salt = dmverity.NewUUID(), dmverity.NewSalt()
	volume := dmverity.Volume{Superblock: s}.Of(st.Size())
	return dmverity.Image{Volume: volume, Data: dmverity.ReadOnly(data), Hashes: hashes}.Format(ctx, merkle.Options{})
}
