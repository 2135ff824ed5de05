//go:build !guest

package bpf_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// peerRules are the sizes of policy put to both. The kernel's IPE takes no more
// than 64 KiB of signed text, some 500 rules; ours goes on.
var peerRules = []int{1, 100, 500}

// BenchmarkInstructions counts, in guests whose clock counts instructions, what
// mmap(PROT_EXEC) and munmap of one fs-verity file cost: with no policy, with ours and,
// where the kernel has IPE, with its own on the same policies, in one boot. The metrics
// are what each adds, and what nothing costs before and after; the last rule is the one
// that matches.
func BenchmarkInstructions(b *testing.B) {
	images := makeImages(b)
	files := images.files(b)
	signPeerPolicies(b, images.dir, files)
	kernels, err := debian.Kernels(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range kernels {
		b.Run(k.Name, func(b *testing.B) { measureOn(b, k, files) })
	}
}

func measureOn(b *testing.B, k debian.Kernel, files vm.Files) {
	var env []string
	has, err := k.HasIPE()
	if err != nil {
		b.Fatal(err)
	}
	if has {
		env = append(env, "KERNEL_IPE=1")
	}
	for range b.N {
		outcome, err := vmtest.Collect(b.Context(), vm.Config{
			Kernel: k, UEFI: has, CountInstructions: true, Files: files, Timeout: 15 * time.Minute,
			Modules: []string{"loop"}, Env: env,
		}, "-test.run=^TestMeasureInstructions$")
		if err != nil {
			b.Fatal(err)
		}
		report(b, outcome)
	}
}

func report(b *testing.B, outcome *vmtest.Outcome) {
	if len(outcome.Tests) != 1 || outcome.Tests[0].Action != "pass" {
		b.Fatalf("the guest measured nothing:\n%s", outcome.Output)
	}
	for line := range strings.Lines(outcome.Tests[0].Output) {
		var value float64
		var name string
		if _, err := fmt.Sscanf(strings.TrimSpace(line), "metric %s %g", &name, &value); err == nil {
			b.ReportMetric(value, name+"-instr/op")
		}
	}
}

// signPeerPolicies writes the same policies as text, for us, and signed for the
// kernel.
func signPeerPolicies(b *testing.B, dir string, files vm.Files) {
	cert, key, err := vm.PlatformKey(b.Context(), dir)
	if err != nil {
		b.Fatal(err)
	}
	digest := strings.Fields(run(b, "fsverity", "digest", filepath.Join(dir, "files", "sealed")))[0]
	for _, n := range peerRules {
		text := filepath.Join(dir, fmt.Sprintf("peer-%d.pol", n))
		write(b, text, peerPolicy(n, digest))
		signed := strings.TrimSuffix(text, ".pol") + ".p7b"
		run(b, "openssl", "smime", "-sign", "-in", text, "-signer", cert, "-inkey", key,
			"-binary", "-noattr", "-nodetach", "-nosmimecap", "-outform", "der", "-out", signed)
		for _, f := range []string{text, signed} {
			files["/images/"+filepath.Base(f)] = vm.File{Host: f}
		}
		if info, err := os.Stat(signed); err != nil || info.Size() > 65535 {
			b.Fatalf("policy of %d rules: %v bytes, %v", n, info.Size(), err)
		}
	}
}

// peerPolicy has n rules that name digests; the last one names the file's.
func peerPolicy(n int, digest string) string {
	var p strings.Builder
	fmt.Fprintf(&p, "policy_name=peer%d policy_version=1.0.0\nDEFAULT action=DENY\nDEFAULT op=EXECUTE action=DENY\n", n)
	for i := range n - 1 {
		fmt.Fprintf(&p, "op=EXECUTE fsverity_digest=sha256:%064x action=ALLOW\n", i)
	}
	fmt.Fprintf(&p, "op=EXECUTE fsverity_digest=%s action=ALLOW\nop=EXECUTE boot_verified=TRUE action=ALLOW\n", digest)
	return p.String()
}
