//go:build !guest

package bpf_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// addVolumes adds images of file systems that a guest has no tool for.
func addVolumes(t *testing.T, files vm.Files) {
	t.Helper()
	addErofs(t, files)
	addXfs(t, files)
}

// addErofs adds two images with all that they have, and one that has the data of its files
// on another device.
func addErofs(t *testing.T, files vm.Files) {
	t.Helper()
	mkfs := filepath.Join(unpacked(t, debian.ErofsTools()), "usr", "bin", "mkfs.erofs")
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, filepath.Join(tree, "probe"), script+"erofs\n")
	image := imagesOf(t, files)
	for _, name := range []string{"erofs.img", "erofs-shared.img"} {
		run(t, mkfs, "--quiet", "--all-root", image(name), tree)
	}
	run(t, mkfs, "--quiet", "--all-root", "--chunksize=4096", "--blobdev="+image("erofs.data"), image("erofs-apart.img"), tree)
	sealImages(t, image, "erofs.img", "erofs-shared.img", "erofs-apart.img")
}

// addXfs adds an image with all that it has, one with its log on another device, and one
// with a realtime device, which shares no extents then. A volume has sectors of a block.
func addXfs(t *testing.T, files vm.Files) {
	t.Helper()
	tools := unpacked(t, debian.XfsTools())
	image := imagesOf(t, files)
	blank := func(name, size string) string {
		run(t, "truncate", "-s", size, image(name))
		return image(name)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "probe"), script+"xfs\n")
	content := filepath.Join(dir, "content")
	write(t, content, "/\n0 0\nd--755 0 0\nprobe ---755 0 0 "+filepath.Join(dir, "probe")+"\n$\n")
	mkfs := func(args ...string) {
		t.Helper()
		run(t, "env", slices.Concat([]string{
			"LD_LIBRARY_PATH=" + filepath.Join(tools, "usr", "lib", "x86_64-linux-gnu"),
			"TEST_DIR=/", "TEST_DEV=/", "QA_CHECK_FS=1", // as xfs is tested: else it is to have 300 MB
			filepath.Join(tools, "sbin", "mkfs.xfs"), "-q", "-p", content, "-s", "size=4096"}, args)...)
	}
	mkfs(blank("xfs.img", "16M"))
	mkfs("-l", "logdev="+blank("xfs.log", "6M"), blank("xfs-log.img", "16M"))
	mkfs("-m", "reflink=0", "-r", "rtdev="+blank("xfs.rt", "4M"), blank("xfs-rt.img", "16M"))
	sealImages(t, image, "xfs.img", "xfs-log.img", "xfs-rt.img")
}

// sealImages makes the trees of images, which emulation takes long for, and leaves each
// root hash in a file beside them.
func sealImages(t *testing.T, image func(name string) string, names ...string) {
	t.Helper()
	for _, name := range names {
		write(t, image(name+".root"), formatVolume(t, image(name), image(name+".hash")))
	}
}

func unpacked(t *testing.T, packages []string) string {
	t.Helper()
	dir, err := debian.Unpacked(t.Context(), packages...)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// imagesOf names files of the host that the guest finds in /images.
func imagesOf(t *testing.T, files vm.Files) func(name string) string {
	t.Helper()
	dir := t.TempDir()
	return func(name string) string {
		file := filepath.Join(dir, name)
		files["/images/"+name] = vm.File{Host: file}
		return file
	}
}
