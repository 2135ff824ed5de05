package files_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/cli/clitest"
	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// TestManyFiles: several measure them at a time, and they come out in order, with
// errors told between them. Their sizes are on both sides of those from which a file
// is read piece by piece, and on several processors.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(8, 1))
	sizes := func(i int) int {
		switch {
		case i%500 == 0:
			return 8<<20 + i
		case i%50 == 0:
			return 256<<10 + i%3 - 1
		}
		return r.IntN(20_000)
	}
	random := rand.NewChaCha8([32]byte{3})
	buf := make([]byte, 9<<20)
	var args, want []string
	for i := range 1500 {
		name := filepath.Join(dir, fmt.Sprintf("%02d", i/30), fmt.Sprintf("%02d", i%30))
		if i%30 == 0 {
			if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			args = append(args, filepath.Dir(name), filepath.Join(dir, "absent"))
		}
		data := buf[:sizes(i)]
		if _, err := random.Read(data); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, fileDigest(t, data)+" "+name)
	}
	code, stdout, stderr := clitest.Run(nil, append([]string{"fsverity", "digest"}, args...)...)
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(stdout), "\n")); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(stderr, "absent: no such file or directory\n"); code == ui.ExitOK || n != 50 {
		t.Errorf("exit code %d, %d errors, want 50: %s", code, n, stderr)
	}
}

func fileDigest(t *testing.T, data []byte) string {
	t.Helper()
	d, err := fsverity.FileDigest(t.Context(), bytes.NewReader(data), int64(len(data)), fsverity.Params{}, merkle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// TestLongLine: a manifest that is none is said to be that, in no library's words.
func TestLongLine(t *testing.T) {
	code, _, stderr := clitest.Run([]byte(strings.Repeat("x", 1<<20)), "fsverity", "rules", "--manifest", "-")
	if code != ui.ExitRefused || !strings.Contains(stderr, "line 1: longer than 65536 bytes: not a line of a manifest") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
