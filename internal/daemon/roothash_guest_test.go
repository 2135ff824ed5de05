//go:build guest

package daemon

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// openVolume opens a volume without telling the kernel of a signature.
func openVolume(t *testing.T, name string) {
	t.Helper()
	hash, err := os.ReadFile("/volumes/" + name + ".roothash")
	if err != nil {
		t.Fatal(err)
	}
	at := "/mnt/" + name
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"veritysetup", "open", "/images/" + name + ".img", name, "/images/" + name + ".hash", strings.TrimSpace(string(hash))},
		{"mount", "-o", "ro", "/dev/mapper/" + name, at},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
}

// wantVolumes wants scripts on these volumes to be allowed, and on the others not.
func wantVolumes(t *testing.T, when string, allowed ...string) {
	t.Helper()
	for _, name := range []string{"owner", "platform", "stranger"} {
		want := unix.EACCES
		for _, a := range allowed {
			if a == name {
				want = unix.ENOENT // of the interpreter: the script itself may be executed
			}
		}
		if err := exec.Command("/mnt/" + name + "/probe").Run(); !errors.Is(err, want) {
			t.Errorf("%s: script on the volume of the %s: %v, want %v", when, name, err, want)
		}
	}
}

// TestRootHashes: whom iped trusts may sign volumes. It reads the signatures again when
// told to, and the kernel remembers them when iped is gone.
func TestRootHashes(t *testing.T) {
	for _, name := range []string{"owner", "platform", "stranger"} {
		openVolume(t, name)
	}
	daemon := iped(t, "--trust", "kernel", "--roothash-signature", "/volumes", "--policy-dir", "")
	ipe(t, "policy", "load", "/platform.p7b")
	ipe(t, "policy", "activate", "volumes")
	wantVolumes(t, "started", "owner", "platform")
	wantProblems(t, "stranger.roothash")
	if text := ipe(t, "status"); !strings.Contains(text, "volumes    2 signed by root hash, signatures checked by iped\n") {
		t.Error(text)
	}
	if err := os.Rename("/volumes/owner.roothash.p7s", "/owner.p7s"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("/volumes/stranger.roothash.p7s"); err != nil {
		t.Fatal(err)
	}
	wantVolumes(t, "before the signal", "owner", "platform")
	if err := daemon.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if !await.Until(func() bool { return len(statusNow(t).Problems) == 0 }) {
		t.Fatal("one root hash: did not come")
	}
	wantVolumes(t, "read again", "platform")
	stop(t, daemon, unix.SIGKILL)
	wantVolumes(t, "killed", "platform")

	daemon = iped(t, "--trust", "kernel", "--roothash-signature", "/volumes/platform.roothash", "--policy-dir", "")
	wantVolumes(t, "started again", "platform")
	stop(t, daemon, unix.SIGTERM)
	daemon = iped(t, "--trust", "kernel", "--policy-dir", "")
	wantVolumes(t, "started without signatures")
	stop(t, daemon, unix.SIGTERM)
}
