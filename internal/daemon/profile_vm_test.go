//go:build !guest

package daemon

import (
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMProfileOnKernels is a machine with all that is asked beyond a policy, as its owner
// deploys it.
func TestVMProfileOnKernels(t *testing.T) {
	t.Parallel()
	files := programs(t)
	cert, key := newOwner(t)
	deploy(t, files, cert, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files["/owner.key"] = vm.File{Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	// That each kernel does as a profile says, is tested with the engine.
	for _, k := range vmtest.Some(t, "6.12") {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			disks := profiledDisks(t)
			vmtest.RunPackage(t, vm.Config{Kernel: k, Files: maps.Clone(files), Modules: []string{"dm-verity"}, Disks: disks}, "-test.run=^TestProfiled$")
		})
	}
}

// profiledDisks are a file system for files with fs-verity, data for a volume, and room for
// its hashes.
func profiledDisks(t *testing.T) []vm.Disk {
	t.Helper()
	fork := attack.Forks(uint32(syscall.SIGCHLD), attack.Parent())
	return []vm.Disk{
		{Path: programDisk(t, map[string][]byte{"jit": attack.Asks()})},
		{Path: programDisk(t, map[string][]byte{
			"another": attack.Asks(), "starts": slices.Concat(fork, attack.Executes("/volume/another")), "maps": attack.MapsWX(), "maps-too": attack.MapsWX(),
		})},
		{Path: programDisk(t, nil)},
	}
}

// programDisk makes a file system with programs.
func programDisk(t *testing.T, codes map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	tree, disk := filepath.Join(dir, "tree"), filepath.Join(dir, "disk")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, code := range codes {
		if err := os.WriteFile(filepath.Join(tree, name), attack.Program(code, false), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-b", "4096", "-O", "verity,^has_journal", "-d", tree, disk, "16M")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return disk
}
