//go:build linux && !guest

package oracle_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"github.com/ipe-linux/ipe/conformance"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMKernelAnswersAsTheCaseTable signs every case with the key that the guest
// trusts. The guest's test of the same package compares the answers. OpenSSL
// signs, so that a mistake in package sign cannot hide one in the table.
func TestVMKernelAnswersAsTheCaseTable(t *testing.T) {
	t.Parallel()
	cert, key, err := vm.PlatformKey(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := signAll(t.Context(), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	vmtest.RunPackage(t, vm.Config{Kernel: vmtest.Kernel(t, "6.12"), UEFI: true, Files: files})
}

// signAll signs the cases that can be put to a running kernel, by as many
// processes at once as there are processors.
func signAll(ctx context.Context, cert, key string) (vm.Files, error) {
	var (
		mu    sync.Mutex
		files = vm.Files{}
		first error
		group sync.WaitGroup
		slots = make(chan struct{}, runtime.NumCPU())
	)
	for _, c := range conformance.ParseCases() {
		if !c.Live {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			message, err := sign(ctx, cert, key, c.Text)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = fmt.Errorf("sign case %s: %w", c.ID, err)
			}
			files["/cases/"+c.ID] = vm.File{Data: message}
		})
	}
	group.Wait()
	return files, first
}

func sign(ctx context.Context, cert, key string, text []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "openssl", "smime", "-sign", "-signer", cert, "-inkey", key,
		"-binary", "-noattr", "-nodetach", "-nosmimecap", "-outform", "der")
	cmd.Stdin = bytes.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.Bytes())
	}
	return out, nil
}
