//go:build guest

package fsioctl_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// refusal is what the kernel is expected to answer, and how it is explained.
type refusal struct {
	kind error
	// is holds, too: the number's own meaning.
	is error
	// hint is a part of it.
	hint string
	// blind: Check cannot know.
	blind bool
}

func refused(t *testing.T, f *os.File, p fsverity.Params, signature []byte, want refusal) {
	t.Helper()
	check := fsioctl.Check(f, p, signature)
	err := fsioctl.Enable(f, p, signature)
	explained(t, err, want)
	if want.blind != (check == nil) {
		t.Errorf("Check: %v", check)
	}
	if check != nil && err != nil && check.Error() != err.Error() {
		t.Errorf("Check: %v, Enable: %v", check, err)
	}
}

func explained(t *testing.T, err error, want refusal) {
	t.Helper()
	t.Log(err)
	var e *fsioctl.Error
	if !errors.As(err, &e) || e.Kind != want.kind || want.is != nil && !errors.Is(err, want.is) {
		t.Errorf("%v, want %v, %v", err, want.kind, want.is)
		return
	}
	if !strings.Contains(e.Hint(), want.hint) {
		t.Errorf("hint %q, want %q", e.Hint(), want.hint)
	}
}

func TestKernelRefusesPlaces(t *testing.T) {
	content := []byte("content\n")
	var none fsverity.Params
	t.Run("tmpfs", func(t *testing.T) {
		f := file(t, "/tmp/plain", content)
		refused(t, f, none, nil, refusal{kind: fsioctl.ErrUnsupported, is: unix.ENOTTY, hint: "ext4, f2fs and btrfs"})
		_, err := fsioctl.Measure(f)
		explained(t, err, refusal{kind: fsioctl.ErrUnsupported})
	})
	t.Run("ext4 without the feature", func(t *testing.T) {
		at := ext4(t, 4096, 16, "^verity")
		f := file(t, filepath.Join(at, "plain"), content)
		refused(t, f, none, nil, refusal{kind: fsioctl.ErrUnsupported, is: unix.EOPNOTSUPP, hint: "tune2fs -O verity /dev/loop"})
		// The hint is good.
		run(t, "tune2fs", "-O", "verity", device(t, f))
		if err := fsioctl.Enable(f, none, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("overlayfs", func(t *testing.T) {
		at, dir := ext4(t, 4096, 16, "verity"), t.TempDir()
		for _, d := range []string{"upper", "work", "at"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		file(t, filepath.Join(at, "plain"), content)
		options := "lowerdir=" + at + ",upperdir=" + dir + "/upper,workdir=" + dir + "/work"
		if err := unix.Mount("overlay", dir+"/at", "overlay", 0, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir+"/at", unix.MNT_DETACH) })
		refused(t, open(t, dir+"/at/plain"), none, nil, refusal{kind: fsioctl.ErrUnsupported, hint: "on the file of the layer"})
	})
	t.Run("read-only", func(t *testing.T) {
		at := ext4(t, 4096, 16, "verity")
		f := file(t, filepath.Join(at, "plain"), content)
		run(t, "mount", "-o", "remount,ro", at)
		refused(t, f, none, nil, refusal{is: unix.EROFS, hint: "remount,rw"})
	})
	t.Run("full", func(t *testing.T) {
		at := ext4(t, 4096, 8, "verity")
		f := file(t, filepath.Join(at, "sparse"), nil)
		if err := os.Truncate(f.Name(), 32<<20); err != nil {
			t.Fatal(err)
		}
		fill(t, filepath.Join(at, "filler"))
		refused(t, f, none, nil, refusal{is: unix.ENOSPC, hint: "1/128", blind: true})
		if _, err := fsioctl.Measure(f); !errors.Is(err, fsioctl.ErrNotEnabled) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// fill takes all blocks that are left, one by one: a write of many may leave some.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// device is where the file's file system lies.
func device(t *testing.T, f *os.File) string {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st); err != nil {
		t.Fatal(err)
	}
	if st.Dev_major != unix.Major(unix.Mkdev(7, 0)) {
		t.Fatalf("not a loop device: %d", st.Dev_major)
	}
	return "/dev/loop" + itoa(int(st.Dev_minor))
}

func TestKernelRefusesFiles(t *testing.T) {
	at := ext4(t, 4096, 32, "verity")
	content := []byte("content\n")
	var none fsverity.Params
	t.Run("directory", func(t *testing.T) {
		refused(t, open(t, at), none, nil, refusal{kind: fsioctl.ErrNotRegular})
	})
	t.Run("device", func(t *testing.T) {
		f := open(t, "/dev/null")
		refused(t, f, none, nil, refusal{kind: fsioctl.ErrNotRegular, is: unix.ENOTTY})
	})
	t.Run("open for writing", func(t *testing.T) {
		f := file(t, filepath.Join(at, "busy"), content)
		w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, f, none, nil, refusal{kind: fsioctl.ErrInUse, is: unix.ETXTBSY, hint: "fuser -v", blind: true})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := fsioctl.Enable(f, none, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("enabled", func(t *testing.T) {
		f := file(t, filepath.Join(at, "enabled"), content)
		if err := fsioctl.Enable(f, none, nil); err != nil {
			t.Fatal(err)
		}
		refused(t, f, none, nil, refusal{kind: fsioctl.ErrEnabled, is: fs.ErrExist})
		_, err := fsioctl.ReadSignature(f)
		explained(t, err, refusal{kind: fsioctl.ErrNoSignature})
		if err := os.WriteFile(f.Name(), nil, 0o644); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("writing to it: %v", err)
		}
	})
	t.Run("not enabled", func(t *testing.T) {
		f := file(t, filepath.Join(at, "plain"), content)
		for _, read := range []func() error{
			func() error { _, err := fsioctl.Measure(f); return err },
			func() error { _, err := fsioctl.ReadDescriptor(f); return err },
			func() error { _, err := fsioctl.ReadSignature(f); return err },
			func() error { _, err := fsioctl.CopyMerkleTree(nil, f); return err },
		} {
			explained(t, read(), refusal{kind: fsioctl.ErrNotEnabled, is: unix.ENODATA, hint: "ipe fsverity enable"})
		}
	})
	t.Run("immutable", func(t *testing.T) {
		const immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
		f := file(t, filepath.Join(at, "immutable"), content)
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
			t.Fatal(err)
		}
		refused(t, f, none, nil, refusal{is: unix.EPERM, hint: "chattr -i"})
	})
	t.Run("not ours", func(t *testing.T) {
		f := file(t, filepath.Join(at, "others"), content)
		asNobody(t, func() {
			refused(t, f, none, nil, refusal{is: unix.EACCES, hint: "be its owner"})
			if _, err := fsioctl.Measure(f); !errors.Is(err, fsioctl.ErrNotEnabled) {
				t.Errorf("measuring is for everybody: %v", err)
			}
		})
	})
}

// asNobody calls fn with the rights of an ordinary user.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	runtime.LockOSThread() // which ends with the goroutine: it is nobody's thread then
	// The bare call is for this thread alone.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
		t.Fatal(errno)
	}
	fn()
}

func TestKernelRefusesParams(t *testing.T) {
	at := ext4(t, 4096, 16, "verity")
	f := file(t, filepath.Join(at, "plain"), []byte("content\n"))
	refused(t, f, fsverity.Params{BlockSize: 64 << 10}, nil, refusal{kind: fsioctl.ErrRefusedParams, is: unix.EINVAL})
	if smallBlocks() {
		small := file(t, filepath.Join(ext4(t, 1024, 16, "verity"), "plain"), []byte("content\n"))
		refused(t, small, fsverity.Params{}, nil, refusal{kind: fsioctl.ErrRefusedParams})
	} else {
		refused(t, f, fsverity.Params{BlockSize: 1024}, nil, refusal{kind: fsioctl.ErrRefusedParams})
	}
	for _, p := range []fsverity.Params{{BlockSize: 3000}, {Algorithm: "sha1"}, {Salt: make([]byte, 33)}} {
		if err := fsioctl.Enable(f, p, nil); !errors.Is(err, fsverity.ErrParams) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestNoAlgorithm(t *testing.T) {
	at := ext4(t, 4096, 16, "verity")
	f := file(t, filepath.Join(at, "plain"), []byte("content\n"))
	refused(t, f, fsverity.Params{Algorithm: "sha512"}, nil, refusal{kind: fsioctl.ErrRefusedParams, is: unix.ENOPKG, hint: "modprobe sha512_generic", blind: true})
}
