//go:build guest

package fsioctl_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// smallBlocks: the kernel takes blocks smaller than a page, since 6.3.
func smallBlocks() bool { return os.Getenv("KERNEL_NAME") != "6.1" }

// ext4 mounts a new file system of size MiB with that block size.
func ext4(t *testing.T, blockSize, size int, features string) string {
	t.Helper()
	dir := t.TempDir()
	img, at := filepath.Join(dir, "img"), filepath.Join(dir, "at")
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", strconv.Itoa(blockSize), "-O", features, img, strconv.Itoa(size)+"M")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", img, at)
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return at
}

// file writes a file and opens it for reading.
func file(t *testing.T, path string, content []byte) *os.File {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// peerMeasure is what fsverity(1) prints.
func peerMeasure(t *testing.T, path string) digest.Digest {
	t.Helper()
	d, err := digest.Parse(strings.Fields(run(t, "fsverity", "measure", path))[0])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

// sameAsComputed compares everything that the kernel tells of an enabled file with what
// package fsverity computes, and with fsverity(1).
func sameAsComputed(t *testing.T, f *os.File, content []byte, p fsverity.Params) {
	t.Helper()
	var tree memory
	want, err := fsverity.Build(t.Context(), bytes.NewReader(content), int64(len(content)), &tree, p, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := want.FileDigest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fsioctl.Measure(f); err != nil || !got.Equal(sum) {
		t.Errorf("kernel measures %v, %v, want %v", got, err, sum)
	}
	if got := peerMeasure(t, f.Name()); !got.Equal(sum) {
		t.Errorf("fsverity measures %v, want %v", got, sum)
	}
	wantBytes, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	d, err := fsioctl.ReadDescriptor(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.MarshalBinary(); err != nil || !bytes.Equal(got, wantBytes) {
		t.Errorf("descriptor %x, %v, want %x", got, err, wantBytes)
	}
	var got bytes.Buffer
	if n, err := fsioctl.CopyMerkleTree(&got, f); err != nil || n != int64(got.Len()) || !bytes.Equal(got.Bytes(), tree.data) {
		t.Errorf("hash tree of %d bytes, %v, differs from that of %d bytes", n, err, len(tree.data))
	}
}
