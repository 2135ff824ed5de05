package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
)

// TestFailureLeavesNothing: whatever fails, and however late, no file is made, and none that
// was there is changed.
func TestFailureLeavesNothing(t *testing.T) {
	block := bytes.Repeat([]byte("x"), 4096)
	data := bytes.Repeat(block, 8)
	for name, args := range map[string][]string{
		"parity at no place":      {"dmverity", "format", "data", "hash", "--fec-device", "gone/fec"},
		"parity like nothing":     {"dmverity", "format", "data", "hash", "--fec-device", "fec", "--fec-roots", "99"},
		"parity over hashes":      {"dmverity", "format", "data", "hash", "--fec-device", "hash", "--fec-offset", "0"},
		"no root hash file":       {"dmverity", "format", "data", "hash", "--root-hash-file", "gone/root"},
		"parity, no root hash":    {"dmverity", "format", "data", "hash", "--fec-device", "fec", "--root-hash-file", "gone/root"},
		"hash area behind data":   {"dmverity", "format", "data", "data", "--hash-offset", "32768", "--root-hash-file", "gone/root"},
		"data that is a part":     {"dmverity", "format", "data", "hash", "--data-blocks", "9"},
		"descriptor at no place":  {"fsverity", "digest", "data", "--out-merkle-tree", "gone/tree"},
		"data that cannot be":     {"dmverity", "format", "gone", "hash"},
		"no place for a message":  {"dmverity", "format", "data", "gone/hash"},
		"parity of a small block": {"dmverity", "format", "data", "hash", "--data-block-size", "512", "--fec-device", "gone/fec"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("data", data, 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := clitest.Run(nil, args...)
			if code == ui.ExitOK {
				t.Errorf("it succeeds: %s", stdout)
			}
			got, err := os.ReadFile("data")
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("data has %d bytes now, %v", len(got), err)
			}
			if names, err := filepath.Glob("*"); err != nil || len(names) != 1 {
				t.Errorf("%q are left; it said %s", names, stderr)
			}
		})
	}
}
