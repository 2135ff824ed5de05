package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// initPackage is the guest's first process. Runs that need it are started within
// this module, as go test and go run do.
const initPackage = "github.com/ipe-linux/ipe/internal/lab/vm/guestinit"

// guestInit is the guest's init program, statically linked.
var guestInit = sync.OnceValues(buildGuestInit)

// buildGuestInit leaves the program in the cache, where the go command sees when it is
// up to date.
func buildGuestInit() ([]byte, error) {
	cache, err := debian.CacheDir()
	if err != nil {
		return nil, err
	}
	unlock, err := debian.Lock(cache, "guestinit")
	if err != nil {
		return nil, err
	}
	defer unlock()
	file := filepath.Join(cache, "guestinit")
	if err := GoCommand(context.Background(), "build", "-ldflags=-s", "-o", file, initPackage); err != nil {
		return nil, fmt.Errorf("build guest's init: %w", err)
	}
	return os.ReadFile(file)
}

// GoCommand runs the go command in the current directory, such that what it builds
// is static and runs in a guest.
func GoCommand(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run go %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
