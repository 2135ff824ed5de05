//go:build !guest

package daemon

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// BenchmarkStart counts, in guests whose clocks count instructions, what a start of
// iped takes until the kernel enforces, and until it says that it is ready, with a policy
// in its store: the first of a boot, which loads programs, and one that adopts them. It also reports the memory of
// both, at most and when idle.
func BenchmarkStart(b *testing.B) {
	files := programs(b)
	deployment(b, files)
	cert, _, err := vm.PlatformKey(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	der, err := exec.CommandContext(b.Context(), "openssl", "x509", "-in", cert, "-outform", "der").Output()
	if err != nil {
		b.Fatal(err)
	}
	files["/verity.der"] = vm.File{Data: der}
	for _, name := range []string{"6.1", "6.12", "newest"} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				measureStart(b, name, files)
			}
		})
	}
}

func measureStart(b *testing.B, kernel string, files vm.Files) {
	b.Helper()
	k, err := debian.FindKernel(b.Context(), kernel)
	if err != nil {
		b.Fatal(err)
	}
	disk := filepath.Join(b.TempDir(), "files.img")
	if out, err := exec.CommandContext(b.Context(), "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", disk, "32M").CombinedOutput(); err != nil {
		b.Fatalf("mke2fs: %v\n%s", err, out)
	}
	outcome, err := vmtest.Collect(b.Context(), vm.Config{
		Kernel: k, CountInstructions: true, Files: files, Timeout: 15 * time.Minute,
		Modules: []string{"dm-verity", "overlay", "fuse", "virtio_blk"}, Disks: []vm.Disk{{Path: disk}},
	}, "-test.run=^TestMeasureStart$")
	if err != nil {
		b.Fatal(err)
	}
	if len(outcome.Tests) != 1 || outcome.Tests[0].Action != "pass" {
		b.Fatalf("the guest measured nothing:\n%s", outcome.Output)
	}
	for line := range strings.Lines(outcome.Tests[0].Output) {
		var value float64
		var name string
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "metric %s %g", &name, &value); err == nil {
			b.ReportMetric(value, name)
		}
	}
}
