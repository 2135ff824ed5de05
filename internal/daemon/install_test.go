//go:build !guest

package daemon

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstallConfig: a new installation is strict, and an upgrade changes nothing.
func TestInstallConfig(t *testing.T) {
	const conf = "etc/ipe/iped.conf"
	for name, tt := range map[string]struct {
		there map[string]string
		want  string
	}{
		"new":                   {nil, `IPED_FLAGS="--profile strict"`},
		"never started":         {map[string]string{"var/lib/ipe/other": ""}, `IPED_FLAGS="--profile strict"`},
		"a state":               {map[string]string{"var/lib/ipe/index": ""}, ""},
		"half a state":          {map[string]string{"var/lib/ipe/copy": ""}, ""},
		"a configuration":       {map[string]string{conf: "IPED_FLAGS=--keep-caches\n"}, "IPED_FLAGS=--keep-caches"},
		"both, as it is mostly": {map[string]string{conf: "IPED_FLAGS=--keep-caches\n", "var/lib/ipe/index": ""}, "IPED_FLAGS=--keep-caches"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range tt.there {
				file = filepath.Join(root, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := exec.CommandContext(t.Context(), "make", "-C", filepath.Join("..", ".."), "install-config", "DESTDIR="+root, "SYSCONF=/etc").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text, err := os.ReadFile(filepath.Join(root, conf))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if got := lastLine(text); got != tt.want {
				t.Errorf("configured is %q, want %q", got, tt.want)
			}
		})
	}
}

func lastLine(text []byte) string {
	all := strings.TrimSpace(string(text))
	return all[strings.LastIndex(all, "\n")+1:]
}
