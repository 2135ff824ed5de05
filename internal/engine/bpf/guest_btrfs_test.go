//go:build guest

package bpf_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
)

// smallBtrfs has room for a btrfs, and takes emulation no minute to hash. One to which a
// device is added needs more: the kernel may hang in moving things on a smaller one.
const (
	smallBtrfs = 24 << 20
	largeBtrfs = 64 << 20
)

// btrfsTool runs a program of btrfs-progs, which no machine needs that only builds.
func btrfsTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	return tool(t, filepath.Join(os.Getenv("BTRFS_PROGS"), name), args...)
}

// blankDisks are loop devices over new images.
func blankDisks(t *testing.T, size int64, images ...string) (devices []string) {
	t.Helper()
	for _, image := range images {
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, size); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, strings.TrimSpace(tool(t, "losetup", "--find", "--show", image)))
	}
	return devices
}

func freeDisks(t *testing.T, devices ...string) {
	t.Helper()
	tool(t, "losetup", append([]string{"--detach"}, devices...)...)
}

func mountBtrfs(t *testing.T, device, at, options string) {
	t.Helper()
	tool(t, "mount", "-t", "btrfs", "-o", options, device, directory(t, at))
}

func unmount(t *testing.T, at string) {
	t.Helper()
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
}

// newBtrfs makes a file system with a program on it, leaves it mounted, and says on
// which devices it is.
func newBtrfs(t *testing.T, at string, size int64, images []string, args ...string) (devices []string) {
	t.Helper()
	devices = blankDisks(t, size, images...)
	btrfsTool(t, "sbin/mkfs.btrfs", slices.Concat([]string{"-q", "-M"}, args, devices)...)
	mountBtrfs(t, devices[0], at, "compress-force=zlib")
	putProbe(t, at+"/probe")
	return devices
}

// putProbe writes a program, long enough for an extent of its own.
func putProbe(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/no-such-interpreter\n"+strings.Repeat("# again and again\n", 5000)), 0o755); err != nil {
		t.Fatal(err)
	}
}

// sealDisk opens a dm-verity volume of an image, for which the host may have made the tree.
func sealDisk(t *testing.T, image, name string) digest.Digest {
	t.Helper()
	made, err := os.ReadFile(image + ".root")
	root := string(made)
	if err != nil {
		_, rest, ok := strings.Cut(tool(t, "veritysetup", "format", image, image+".hash"), "Root hash:")
		if !ok {
			t.Fatal("veritysetup printed no root hash")
		}
		root = strings.Fields(rest)[0]
	}
	tool(t, "veritysetup", "open", image, name, image+".hash", root)
	d, err := digest.Parse("sha256:" + root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestEngineBtrfs: a btrfs has the facts of its device where that is the only one it
// can ever get data from, and none anywhere else.
func TestEngineBtrfs(t *testing.T) {
	e := open(t)
	rec := newRecorder(t, e)
	try := func(what string, a engine.Active, facts eval.Evidence, paths ...string) {
		t.Helper()
		facts.Unavailable = e.Unavailable()
		for _, path := range paths {
			for _, act := range fileActions(path) {
				check(t, what+", "+path+", "+act.name, a.Policy, subject{facts: facts}, act, rec)
			}
		}
	}
	mode := engine.Mode{Enforce: true, SuccessAudit: true}
	none := eval.Evidence{}

	t.Run("one device", func(t *testing.T) {
		const at, image = "/btrfs", "/images/btrfs.img"
		devices := newBtrfs(t, at, smallBtrfs, []string{image})
		btrfsTool(t, "bin/btrfs", "subvolume", "create", at+"/sub")
		putProbe(t, at+"/sub/probe")
		if err := os.WriteFile(at+"/inline", []byte("#!/no-such-interpreter\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		a := activate(t, e, mode, "DEFAULT action=ALLOW", "op=EXECUTE dmverity_signature=FALSE action=DENY")
		try("written", a, none, at+"/probe", at+"/sub/probe")
		tool(t, "mount", "-o", "remount,ro", at)
		try("read-only, of a plain device", a, none, at+"/probe")
		unmount(t, at)
		freeDisks(t, devices...)

		root := sealDisk(t, image, "btrfs")
		mountBtrfs(t, "/dev/mapper/btrfs", at, "ro")
		mountBtrfs(t, "/dev/mapper/btrfs", "/btrfs-sub", "ro,subvol=sub")
		mountBtrfs(t, "/dev/mapper/btrfs", "/btrfs-degraded", "ro,degraded")
		tool(t, "mount", "-t", "overlay", "-o", "lowerdir=/btrfs:"+directory(t, "/btrfs-lower"), "overlay", directory(t, "/btrfs-overlay"))
		files := []string{at + "/probe", at + "/sub/probe", at + "/inline", "/btrfs-sub/probe", "/btrfs-degraded/probe", "/btrfs-overlay/probe"}
		facts := eval.Evidence{RootHash: root}
		try("sealed", a, facts, files[0])
		a = activate(t, e, mode, "DEFAULT action=DENY", "op=EXECUTE dmverity_roothash="+root.String()+" action=ALLOW")
		try("by root hash", a, facts, files...)
		a = activate(t, e, mode, "DEFAULT action=DENY", "op=EXECUTE dmverity_signature=TRUE action=ALLOW")
		if err := e.SetSignedRoots([]digest.Digest{root}); err != nil {
			t.Fatal(err)
		}
		facts.RootHashSigned = true
		try("by signature", a, facts, files...)
		if err := e.SetSignedRoots(nil); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", at, "", unix.MS_REMOUNT, ""); err == nil {
			t.Error("a btrfs on a dm-verity volume was remounted for writing")
		}
	})

	a := activate(t, e, mode, "DEFAULT action=ALLOW", "op=EXECUTE dmverity_signature=TRUE action=DENY")
	t.Run("after a replace", func(t *testing.T) {
		const at, image = "/btrfs-replaced", "/images/replaced.img"
		devices := newBtrfs(t, at, smallBtrfs, []string{"/images/before.img"})
		next := blankDisks(t, smallBtrfs, image)
		btrfsTool(t, "bin/btrfs", "replace", "start", "-B", "-f", devices[0], next[0], at)
		try("replaced", a, none, at+"/probe")
		unmount(t, at)
		freeDisks(t, append(devices, next...)...)
		root := sealDisk(t, image, "replaced")
		mountBtrfs(t, "/dev/mapper/replaced", at, "ro")
		try("replaced and sealed", a, eval.Evidence{RootHash: root}, at+"/probe")
	})

	t.Run("two devices", func(t *testing.T) {
		const at, image = "/btrfs-pair", "/images/first.img"
		devices := newBtrfs(t, at, smallBtrfs, []string{image, "/images/second.img"}, "-d", "single", "-m", "single")
		unmount(t, at)
		freeDisks(t, devices[0])
		sealDisk(t, image, "first")
		mountBtrfs(t, "/dev/mapper/first", at, "ro,device="+devices[1])
		try("a pair, one of it sealed", a, none, at+"/probe")
		unmount(t, at)
		freeDisks(t, devices[1])
		btrfsTool(t, "bin/btrfs", "device", "scan", "--forget")
		mountBtrfs(t, "/dev/mapper/first", at, "ro,degraded")
		try("the sealed one of a pair", a, none, at+"/probe")
	})

	t.Run("seed", func(t *testing.T) {
		const at, image = "/btrfs-seed", "/images/seed.img"
		devices := newBtrfs(t, at, largeBtrfs, []string{image})
		unmount(t, at)
		btrfsTool(t, "bin/btrfstune", "-S", "1", devices[0])
		freeDisks(t, devices...)
		sealDisk(t, image, "seed")
		mountBtrfs(t, "/dev/mapper/seed", at, "ro")
		try("seed", a, none, at+"/probe")
		plain := blankDisks(t, 2*largeBtrfs, "/images/sprout.img")
		btrfsTool(t, "bin/btrfs", "device", "add", "-f", plain[0], at)
		try("seed with a device added", a, none, at+"/probe")
		tool(t, "mount", "-o", "remount,rw", at)
		putProbe(t, at+"/new")
		try("written to the device that was added", a, none, at+"/probe", at+"/new")
		tool(t, "mount", "-o", "remount,ro", at)
		try("read-only again", a, none, at+"/probe", at+"/new")
	})
}

func directory(t *testing.T, at string) string {
	t.Helper()
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}
