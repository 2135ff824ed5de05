//go:build guest

package fsioctl_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// largeFile takes the kernel some seconds, in bytes.
const largeFile = 2 << 30

// TestKernelForgetsInterrupted: killed while the kernel is at it, a file is as before,
// can be written to, and can be enabled.
func TestKernelForgetsInterrupted(t *testing.T) {
	if path := os.Getenv("ENABLE_AND_DIE"); path != "" {
		f, err := open(t, path), error(unix.ETXTBSY)
		for errors.Is(err, unix.ETXTBSY) { // whoever waits for this opens the file for writing, now and then
			err = fsioctl.Enable(f, fsverity.Params{}, nil)
		}
		t.Fatalf("it was not killed: %v", err)
	}
	at := ext4(t, 4096, 64, "verity")
	f := file(t, filepath.Join(at, "large"), nil)
	if err := os.Truncate(f.Name(), largeFile); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelForgetsInterrupted$")
	cmd.Env = append(os.Environ(), "ENABLE_AND_DIE="+f.Name())
	cmd.Stdout = os.Stderr // says why, if it ends by itself
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitBusy(t, f)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Fatalf("it ended by itself: %v", err)
	}
	if _, err := fsioctl.Measure(f); !errors.Is(err, fsioctl.ErrNotEnabled) {
		t.Errorf("measured: %v", err)
	}
	if err := os.WriteFile(f.Name(), []byte("changed\n"), 0o644); err != nil {
		t.Error(err)
	}
	if err := fsioctl.Enable(f, fsverity.Params{}, nil); err != nil {
		t.Error(err)
	}
	sameAsComputed(t, f, []byte("changed\n"), fsverity.Params{})
}

// waitBusy waits until the kernel has begun: by then nobody else can enable the file.
func waitBusy(t *testing.T, f *os.File) {
	t.Helper()
	if !await.Until(func() bool {
		w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0)
		if err == nil {
			w.Close()
		}
		return err != nil // a file that is being enabled cannot be opened for writing
	}) {
		t.Fatal("it never began")
	}
}
