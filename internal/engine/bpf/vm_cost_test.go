//go:build !guest

package bpf_test

import (
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// BenchmarkStrict counts, in guests whose clock counts instructions, what a profile adds to
// what processes do: to the bare kernel, with one policy, under one profile after the other.
func BenchmarkStrict(b *testing.B) {
	files := makeImages(b).files(b)
	tools, err := vm.HostBinary("losetup", "mke2fs")
	if err != nil {
		b.Fatal(err)
	}
	files.Add(tools)
	kernels, err := debian.Kernels(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range kernels {
		b.Run(k.Name, func(b *testing.B) { strictOn(b, k, files) })
	}
}

func strictOn(b *testing.B, k debian.Kernel, files vm.Files) {
	for range b.N {
		outcome, err := vmtest.Collect(b.Context(), vm.Config{
			Kernel: k, CountInstructions: true, Files: files, Timeout: 15 * time.Minute,
			Modules: []string{"dm-verity", "loop"},
		}, "-test.run=^TestMeasureStrict$")
		if err != nil {
			b.Fatal(err)
		}
		report(b, outcome)
	}
}
