//go:build guest

package daemon

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
)

// damagedDir is a state directory on a small file system of its own.
const damagedDir = "/run/damaged"

// reboot plays one: iped is killed, and the kernel forgets.
func reboot(t *testing.T, daemon *exec.Cmd) {
	t.Helper()
	stop(t, daemon, unix.SIGKILL)
	detachAll(t)
	var memory []byte
	err := await.NoError(func() (err error) {
		memory, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	})
	if err != nil {
		t.Fatalf("without its pins the policy still decides: %v", err)
	}
	if err := unix.Munmap(memory); err != nil { // or preflight would find it
		t.Fatal(err)
	}
}

// envelopeOf is where the state directory has a policy.
func envelopeOf(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s/policies/%x.p7b", damagedDir, sha256.Sum256(b))
}

func spoil(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		b[len(b)/3] ^= 1
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedState: a machine whose state directory is spoiled file by file enforces the
// active policy after each reboot, or says loudly that it cannot.
func TestDamagedState(t *testing.T) {
	if err := errors.Join(os.Mkdir(damagedDir, 0o700), unix.Mount("tmpfs", damagedDir, "tmpfs", 0, "size=1m,mode=0700")); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--state", damagedDir, "--policy-dir", ""}
	daemon := iped(t, flags...)
	ipe(t, "policy", "load", "/site-1.1.0.p7b")
	ipe(t, "policy", "activate", "site")
	ipe(t, "policy", "load", "/other-2.0.0.p7b")
	spoil(t, envelopeOf(t, "/other-2.0.0.p7b"))
	spoil(t, damagedDir+"/index")
	if err := errors.Join(os.WriteFile(damagedDir+"/index.bak", nil, 0o600), os.Remove(envelopeOf(t, "/site-1.1.0.p7b"))); err != nil {
		t.Fatal(err)
	}
	reboot(t, daemon)
	daemon = iped(t, flags...)
	denied(t, "damaged")
	s := statusNow(t)
	if !s.Enforcing || s.Active == nil || s.Active.Name != "site" || s.Active.Version != "1.1.0" {
		t.Errorf("damaged: %+v", s)
	}
	for _, want := range []string{"the second copy counts", `active policy site`, `policy other: stored policy no longer verifies`, "index.bak"} {
		if !strings.Contains(strings.Join(s.Problems, "\n"), want) {
			t.Errorf("problems %q, want %q", s.Problems, want)
		}
	}
	brake(t)
	if err := errors.Join(os.Remove(damagedDir+"/index"), os.Truncate(damagedDir+"/copy", 0)); err != nil {
		t.Fatal(err)
	}
	reboot(t, daemon)
	var stderr bytes.Buffer
	refuses := exec.Command("/bin/iped", append([]string{"--trust", "/etc/ipe/trust", "--socket", "/run/iped.sock"}, flags...)...)
	refuses.Stderr = &stderr
	if err := refuses.Run(); refuses.ProcessState.ExitCode() != exitUnguarded || !strings.Contains(stderr.String(), "floors are lost") {
		t.Errorf("both copies lost: %v\n%s", err, &stderr)
	}
	allowed(t, "both copies lost: the stored policy of the highest version is not activated")
	daemon = iped(t, append(flags, "--repair")...)
	ipe(t, "policy", "load", "/site-1.1.0.p7b")
	ipe(t, "policy", "activate", "site")
	denied(t, "repaired")
	reboot(t, daemon)
}

// brake fills the disk: permissive holds at once, and is kept when there is room.
func brake(t *testing.T) {
	t.Helper()
	filler, err := os.Create(damagedDir + "/index.filler")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if out := ipe(t, "mode", "permissive"); !strings.Contains(out, "warning: stored mode: permissive is not kept for the next boot") {
		t.Errorf("ipe mode says %q", out)
	}
	allowed(t, "permissive on a full disk")
	refused(t, "ENOSPC", "policy", "update", "/other-2.0.0.p7b")
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	if out := ipe(t, "mode", "enforce", "--force"); strings.Contains(out, "warning") {
		t.Errorf("with room again, ipe mode says %q", out)
	}
	denied(t, "enforce")
}
