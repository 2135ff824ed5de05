//go:build !guest

package bpf_test

import (
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// addErofs adds images of erofs: two with all that they have, and one that has the data of
// its files on another device.
func addErofs(t *testing.T, files vm.Files) {
	t.Helper()
	tools, err := debian.Unpacked(t.Context(), debian.ErofsTools()...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	write(t, filepath.Join(tree, "probe"), script+"erofs\n")
	image := func(name string) string {
		file := filepath.Join(dir, name)
		files["/images/"+name] = vm.File{Host: file}
		return file
	}
	mkfs := filepath.Join(tools, "usr", "bin", "mkfs.erofs")
	for _, name := range []string{"erofs.img", "erofs-shared.img"} {
		run(t, mkfs, "--quiet", "--all-root", image(name), tree)
	}
	run(t, mkfs, "--quiet", "--all-root", "--chunksize=4096", "--blobdev="+image("erofs.data"), image("erofs-apart.img"), tree)
}
