//go:build linux && amd64

package attack

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestPrograms: where nothing is enforced, each of them gets what it asks for.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	fork := Forks(uint32(syscall.SIGCHLD), Parent())
	for name, tt := range map[string]struct {
		code []byte
		exit int
	}{
		"exits":    {Exits(), 0},
		"constant": {Constant(), 0x55},
		"asks":     {Asks(), 0},
		"maps":     {MapsWX(), 0},
		"forks":    {slices.Concat(fork, Asks()), 0},
		"thread":   {slices.Concat(Forks(ThreadFlags, Sleeps()), Asks()), 0},
		"traces":   {slices.Concat(SeizesChild(), Asks()), 0},
		"executes": {Executes(filepath.Join(dir, "asks")), 0},
		"cannot":   {Executes("/no/such/file"), 3},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, Program(tt.code, false), 0o755); err != nil {
			t.Fatal(err)
		}
		defer func() {
			cmd := exec.CommandContext(t.Context(), path)
			err := cmd.Run()
			if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ok && exit.ExitCode() != tt.exit || err == nil && tt.exit != 0 {
				t.Errorf("%s: %v, want exit status %d", name, err, tt.exit)
			}
		}()
	}
}
