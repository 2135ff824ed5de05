package abi_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// inNamespace names the variable of the process that has mounts of its own.
const inNamespace = "IPE_TEST_MOUNTS"

// TestWatchMounts runs itself once more, where mounts are of no concern to anybody else.
func TestWatchMounts(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		testWatchMounts(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWatchMounts$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if id := os.Getuid(); id != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// testWatchMounts has each change follow the one before as soon as that was noticed, so
// that one that is lost is not made good by the next.
func testWatchMounts(t *testing.T) {
	dir := os.Getenv(inNamespace)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	mounted := make(chan bool, 1)
	isMounted := func() bool {
		var there, above unix.Stat_t
		if err := errors.Join(unix.Stat(dir, &there), unix.Stat(filepath.Dir(dir), &above)); err != nil {
			t.Error(err)
		}
		return there.Dev != above.Dev
	}
	w, err := abi.WatchMounts(func() { mounted <- isMounted() })
	if err != nil {
		t.Fatal(err)
	}
	notice := func(want bool) {
		t.Helper()
		for limit := time.After(await.Limit); ; {
			select {
			case got := <-mounted:
				if got == want {
					return
				}
			case <-limit:
				t.Fatalf("mounted: %v was not noticed", want)
			}
		}
	}
	for range 2000 {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		notice(true)
		f, err := os.Open(dir) // what is open keeps a file system that is unmounted
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		notice(false)
		f.Close()
	}
	go func() { // an event may be on its way
		for range mounted {
		}
	}()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
