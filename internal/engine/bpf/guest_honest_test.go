//go:build guest

package bpf_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// honestly are volumes, each with a program on it, and whether what dm-verity says of them
// holds for all that is read from them.
var honestly = []struct {
	name  string
	make  func(t *testing.T, at string) digest.Digest
	holds bool
}{
	{"as usual", sealedSquashfs(), true},
	{"ended by a panic", sealedSquashfs("--panic-on-corruption"), true},
	{"ended by a restart", sealedSquashfs("--restart-on-corruption"), true},
	{"zero blocks not read", sealedSquashfs("--ignore-zero-blocks"), true},
	{"corruption ignored", sealedSquashfs("--ignore-corruption"), false},
	{"verified at most once", sealedSquashfs("--check-at-most-once"), false},
	{"ext4", sealedExt("ext4", false), true},
	{"ext4 with a journal elsewhere", sealedExt("ext4", true), false},
	{"btrfs", sealedBtrfs, true},
	{"erofs", sealedImage("erofs", "erofs.img", "ro"), true},
	{"erofs with its data elsewhere", sealedImage("erofs", "erofs-apart.img", "ro", "device=erofs.data"), false},
	// Files of one domain may share their pages, whoever read them. Kernels before 7.0 have no domains.
	{"erofs in a domain", sealedImage("erofs", "erofs-shared.img", "ro,domain_id=any"), os.Getenv("KERNEL_NAME") != "newest"},
	{"xfs", sealedImage("xfs", "xfs.img", "ro"), true},
	{"xfs with a log elsewhere", sealedImage("xfs", "xfs-log.img", "ro", "logdev=xfs.log"), false},
	{"xfs with a realtime device", sealedImage("xfs", "xfs-rt.img", "ro", "rtdev=xfs.rt"), false},
	// The driver of ext4 has it, too; what has all on its device is told of by name.
	{"ext2", sealedExt("ext2", false), false},
}

// TestEngineHonest: with honest facts, a volume that does not hold what dm-verity says has
// none of its facts; without, each has those that the kernel's own IPE takes for true.
func TestEngineHonest(t *testing.T) {
	mountAll(t) // and dm-verity is there
	roots := make([]digest.Digest, len(honestly))
	for i, v := range honestly {
		roots[i] = v.make(t, directory(t, at(v.name)))
	}
	for _, honest := range []bool{false, true} {
		e := openWith(t, bpf.Options{PinDir: "/sys/fs/bpf/honest", Profile: engine.Profile{HonestFacts: honest}})
		if s, err := e.State(); err != nil || s.Profile.HonestFacts != honest {
			t.Errorf("state %+v, %v", s, err)
		}
		if err := e.SetSignedRoots(roots); err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(t, e)
		for i, v := range honestly {
			t.Run(fmt.Sprintf("%s, honest %t", v.name, honest), func(t *testing.T) {
				facts := eval.Evidence{Unavailable: e.Unavailable()}
				if v.holds || !honest {
					facts.RootHash, facts.RootHashSigned = roots[i], true
				}
				testHonest(t, e, rec, roots[i], at(v.name)+"/probe", facts)
			})
		}
		// The next one finds what this one has pinned, and changes the profile alone.
		if err := e.SetSignedRoots(nil); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll("/sys/fs/bpf/honest"); err != nil {
		t.Error(err)
	}
	for _, v := range honestly {
		unmount(t, at(v.name))
		tool(t, "veritysetup", "close", strings.TrimPrefix(at(v.name), "/"))
	}
}

// at is where a volume is mounted.
func at(name string) string { return "/honest-" + strings.ReplaceAll(name, " ", "-") }

// testHonest demands what a file's facts are by rules of each kind, at each hook.
func testHonest(t *testing.T, e *bpf.Engine, rec *recorder, root digest.Digest, path string, facts eval.Evidence) {
	t.Helper()
	for _, statement := range []string{"op=EXECUTE dmverity_roothash=" + root.String() + " action=ALLOW", "op=EXECUTE dmverity_signature=TRUE action=ALLOW"} {
		a := activate(t, e, engine.Mode{Enforce: true, SuccessAudit: true}, "DEFAULT action=DENY", statement)
		for _, act := range fileActions(path) {
			check(t, path+", "+act.name, a.Policy, subject{facts: facts}, act, rec)
		}
	}
}

// sealedSquashfs opens the volume of the images with options of veritysetup.
func sealedSquashfs(options ...string) func(t *testing.T, at string) digest.Digest {
	return func(t *testing.T, at string) digest.Digest {
		t.Helper()
		openVolume(t, "volume", os.Getenv("ROOT_HASH"), at, options...)
		d, err := digest.Parse("sha256:" + os.Getenv("ROOT_HASH"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// smallExt has room for an ext4 with its journal, or for a journal.
const smallExt = 8 << 20

// sealedExt makes a file system and a volume of it. Its journal may be on a disk that
// nothing verifies.
func sealedExt(typ string, elsewhere bool) func(t *testing.T, at string) digest.Digest {
	return func(t *testing.T, at string) digest.Digest {
		t.Helper()
		image := "/images" + at + ".img"
		disk := blankDisks(t, smallExt, image)[0]
		options := "ro"
		args := []string{"-q", "-t", typ, "-b", "4096"}
		if elsewhere {
			journal := blankDisks(t, smallExt, "/images"+at+".journal")[0]
			tool(t, "mke2fs", "-q", "-b", "4096", "-O", "journal_dev", journal)
			args, options = append(args, "-J", "device="+journal), "ro,journal_path="+journal
		}
		tool(t, "mke2fs", append(args, disk)...)
		tool(t, "mount", "-t", typ, "-o", strings.Replace(options, "ro", "rw", 1), disk, at)
		putProbe(t, at+"/probe")
		unmount(t, at)
		freeDisks(t, disk)
		return mountSealed(t, image, at, typ, options)
	}
}

func sealedBtrfs(t *testing.T, at string) digest.Digest {
	t.Helper()
	image := "/images" + at + ".img"
	devices := newBtrfs(t, at, smallBtrfs, []string{image})
	unmount(t, at)
	freeDisks(t, devices...)
	return mountSealed(t, image, at, "btrfs", "ro")
}

// sealedImage opens a volume of an image that the host has made, and mounts it. Options with
// images name disks that nothing verifies.
func sealedImage(typ, image, options string, elsewhere ...string) func(t *testing.T, at string) digest.Digest {
	return func(t *testing.T, at string) digest.Digest {
		t.Helper()
		all := options
		for _, e := range elsewhere {
			name, disk, _ := strings.Cut(e, "=")
			all += "," + name + "=" + strings.TrimSpace(tool(t, "losetup", "--find", "--show", "/images/"+disk))
		}
		return mountSealed(t, "/images/"+image, at, typ, all)
	}
}

// mountSealed makes a volume of an image and mounts it.
func mountSealed(t *testing.T, image, at, typ, options string) digest.Digest {
	t.Helper()
	name := strings.TrimPrefix(at, "/")
	root := sealDisk(t, image, name)
	tool(t, "mount", "-t", typ, "-o", options, "/dev/mapper/"+name, at)
	return root
}
