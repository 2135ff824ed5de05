//go:build guest

package fsioctl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// inBtrfs goes into a new btrfs.
func inBtrfs(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	img, at := filepath.Join(dir, "img"), filepath.Join(dir, "at")
	put(t, img, "", 0o600)
	if err := os.Truncate(img, 128<<20); err != nil {
		t.Fatal(err)
	}
	run(t, os.Getenv("MKFS_BTRFS"), "-q", img)
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", img, at)
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	t.Chdir(at)
}

// TestBtrfs: the same digests. Older kernels say no more of a file, so that what is
// enabled already is known by its digest.
func TestBtrfs(t *testing.T) {
	inBtrfs(t)
	content := strings.Repeat("content\n", 5000)
	put(t, "app/a", content, 0o644)
	put(t, "app/b", "", 0o644)
	f := open(t, "app/a")
	if err := fsioctl.Check(f, fsverity.Params{}, nil); err != nil {
		t.Error(err)
	}
	refused(t, f, fsverity.Params{BlockSize: 64 << 10}, nil, refusal{kind: fsioctl.ErrRefusedParams, is: unix.EINVAL})
	enable := []string{"fsverity", "enable", "--salt=aabb", "app"}
	for _, want := range []string{"2 files enabled, 0 already\n", "0 files enabled, 2 already\n"} {
		if out := done(t, enable...); !strings.HasSuffix(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	measured := done(t, "fsverity", "measure", "app/a", "app/b")
	if peer := run(t, "fsverity", "measure", "app/a", "app/b"); measured != peer {
		t.Errorf("ipe measures\n%sfsverity\n%s", measured, peer)
	}
	if computed := done(t, "fsverity", "digest", "--salt=aabb", "app/a", "app/b"); computed != measured {
		t.Errorf("computed\n%smeasured\n%s", computed, measured)
	}
	put(t, "signature", "signature", 0o644)
	other := []string{"fsverity", "enable", "app/a"}
	signed := []string{"fsverity", "enable", "--salt=aabb", "--signature=signature", "app/a"}
	if os.Getenv("KERNEL_NAME") == "newest" {
		sameAsComputed(t, f, []byte(content), fsverity.Params{Salt: []byte{0xaa, 0xbb}})
		fails(t, other, `with other parameters: sha256, block size 4096, salt "aabb"`)
		fails(t, signed, "fs-verity is enabled already, without a signature")
		return
	}
	_, err := fsioctl.ReadDescriptor(f)
	explained(t, err, refusal{kind: fsioctl.ErrUnsupported, is: unix.ENOTTY})
	fails(t, other, "with other parameters: its digest is sha256:")
	fails(t, signed, "read fs-verity signature: no fs-verity here: btrfs keeps it to itself")
}
