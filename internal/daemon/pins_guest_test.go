//go:build guest

package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

const pinRoot = "/sys/fs/bpf/ipe"

// pinned lists what is pinned, by its path.
func pinned(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"ipe_*", "v*-*/*", "ftrace-*/*"} {
		found, err := filepath.Glob(filepath.Join(pinRoot, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// TestPinsRemoved: who removes the pins of an iped that runs, or unmounts their file system,
// finds them there again, all of them, and nothing lapses; the next iped takes over what is there, also if that is a part.
func TestPinsRemoved(t *testing.T) {
	detachAll(t)
	daemon := bare(t, "--trust", "/etc/ipe/trust", "--state", "/run/pins-state")
	ipe(t, "policy", "load", "/site-1.0.0.p7b")
	ipe(t, "policy", "activate", "site")
	before := pinned(t)
	if len(before) < 15 {
		t.Fatalf("pinned are %q", before)
	}
	for range 3 {
		if err := os.RemoveAll(pinRoot); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			t.Fatal(err)
		}
		denied(t, "without pins")
		if !await.Until(func() bool { return len(pinned(t)) == len(before) }) {
			t.Fatalf("pinned are %q, were %q", pinned(t), before)
		}
		denied(t, "with pins again")
	}
	if s := statusNow(t); !s.Enforcing || len(s.Problems) != 0 {
		t.Errorf("status %+v", s)
	}
	if err := unix.Unmount(filepath.Dir(pinRoot), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	denied(t, "unmounted")
	if !await.Until(func() bool { return len(pinned(t)) == len(before) }) {
		t.Fatalf("pinned after an unmount are %q, were %q", pinned(t), before)
	}
	if s := statusNow(t); !s.Enforcing || len(s.Problems) != 0 {
		t.Errorf("unmounted: status %+v", s)
	}
	generation := statusNow(t).Kernel.Generation
	stop(t, daemon, unix.SIGKILL)
	denied(t, "killed")
	links, err := filepath.Glob(filepath.Join(pinRoot, "v*-*", "link_mmap_file"))
	if err != nil || len(links) != 1 {
		t.Fatalf("%q, %v", links, err)
	}
	if err := os.Remove(links[0]); err != nil { // as if it had been killed while it pinned
		t.Fatal(err)
	}
	again := bare(t, "--trust", "/etc/ipe/trust", "--state", "/run/pins-state")
	if s := statusNow(t); !s.Enforcing || len(s.Problems) != 0 || s.Kernel.Generation != generation {
		t.Errorf("taken over: %+v, generation was %d", s, generation)
	}
	denied(t, "taken over")
	if s := pinned(t); len(s) != len(before) {
		t.Errorf("pinned are %q, were %q", s, before)
	}
	stop(t, again, unix.SIGTERM)
	detachAll(t)
}
