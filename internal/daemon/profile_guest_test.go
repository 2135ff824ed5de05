//go:build guest

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// profiledDir is the state directory of a machine with a profile.
const profiledDir = "/run/profiled"

// TestProfiled is the life of a machine that asks for all there is: by the command line,
// by a signed profile with exceptions, through kills and restarts, and with a damaged state.
func TestProfiled(t *testing.T) {
	root, jit := sealedPrograms(t)
	signText(t, "policy", "/site.pol", "policy_name=site policy_version=1.0.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n"+
		"op=EXECUTE boot_verified=TRUE action=ALLOW\nop=EXECUTE dmverity_roothash="+root+" action=ALLOW\nop=EXECUTE fsverity_digest="+jit+" action=ALLOW\n")
	exceptions := "anon_exec fsverity_digest=" + jit + "\nrule=map-wx dmverity_roothash=" + root + " path=/maps action=off\n" +
		"anon_exec dmverity_roothash=" + root + " path=/starts\n"
	for _, version := range []string{"1.0.0", "1.1.0", "1.2.0"} {
		signText(t, "profile", "/profile-"+version+".prof", "profile_name=machine profile_version="+version+" base=strict\n"+exceptions)
	}
	strict := profiledIped(t, "--profile", "strict")
	ipe(t, "policy", "load", "/site.pol.p7b")
	ipe(t, "policy", "activate", "site")
	t.Run("command line", testStrictByFlag)
	t.Run("loaded", func(t *testing.T) { testProfileLoaded(t, jit) })
	stop(t, strict, unix.SIGKILL)
	t.Run("killed", func(t *testing.T) { excepted(t, true) })
	var again *exec.Cmd
	t.Run("restarted", func(t *testing.T) {
		guarded := withoutGap(t)
		again = profiledIped(t)
		guarded()
		excepted(t, true)
		tells(t, 0, `^profile    strict, by machine 1\.1\.0, 3 exceptions, signed by CN=owner; it overrules iped --profile compat;`, "status")
	})
	stop(t, again, unix.SIGTERM)
	t.Run("stopped", func(t *testing.T) { excepted(t, true) })
	t.Run("damaged", testProfileDamaged)
	detachAll(t)
}

// testStrictByFlag: no profile is loaded, and iped was started with --profile strict.
func testStrictByFlag(t *testing.T) {
	tells(t, 0, `^profile    strict; not known whether 1 mapped device had another table before$`, "status")
	tells(t, 0, `^rules      enforce: map-wx protect-wx .* personality$`, "status")
	tells(t, 1, `no profile is loaded`, "profile", "show")
	excepted(t, false)
	tells(t, 0, `DENY EXECUTE MMAP by jit.*: no file: DEFAULT op=EXECUTE action=DENY`, "events")
	tells(t, 0, `DENY strict rule map-wx by maps\[\d+\]: /volume/maps .*iped --rule map-wx=monitor lets it happen, rule=map-wx in a profile for one executable$`, "events")
}

// testProfileLoaded: what it excepts goes on, nothing else does, and no older one comes
// after it.
func testProfileLoaded(t *testing.T, jit string) {
	tells(t, 1, `hint: /site\.pol\.p7b holds a signed policy: ipe policy load /site\.pol\.p7b$`, "profile", "load", "/site.pol.p7b")
	tells(t, 1, `is an unsigned profile text: ipe profile sign `, "profile", "load", "/profile-1.0.0.prof")
	tells(t, 0, `^loaded machine 1\.1\.0, base strict, 3 exceptions$`, "profile", "load", "/profile-1.1.0.prof.p7b")
	excepted(t, true)
	tells(t, 1, `ESTALE`, "profile", "load", "/profile-1.0.0.prof.p7b")
	tells(t, 1, `ESTALE`, "profile", "load", "/profile-1.1.0.prof.p7b")
	excepted(t, true)
	tells(t, 0, `^anon_exec fsverity_digest=`+jit+`$`, "profile", "show")
	tells(t, 0, `^profile    strict, by machine 1\.1\.0, 3 exceptions, signed by CN=owner;`, "status")
}

// testProfileDamaged: iped starts after what it had stored is damaged, and the kernel has
// forgotten.
func testProfileDamaged(t *testing.T) {
	messages, err := filepath.Glob(profiledDir + "/profiles/policies/*.p7b")
	if err != nil || len(messages) != 1 {
		t.Fatalf("%q, %v", messages, err)
	}
	spoil(t, messages[0])
	spoil(t, profiledDir+"/profiles/copy") // which has the message, too
	detachAll(t)
	daemon := profiledIped(t)
	tells(t, 0, `^problem    profile: .*the stricter base holds, without exceptions, until it or a newer one is loaded$`, "status")
	tells(t, 0, `^profile    strict; `, "status")
	tells(t, 0, `^signed by  not known$`, "profile", "show")
	excepted(t, false)
	tells(t, 0, `^loaded machine 1\.2\.0`, "profile", "load", "/profile-1.2.0.prof.p7b")
	excepted(t, true)
	stop(t, daemon, unix.SIGTERM)
}

// sealedPrograms makes files and volume, with ipe alone, of the disks that the test was
// given, and returns what is known of them.
func sealedPrograms(t *testing.T) (root, jit string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll("/files", 0o755), os.MkdirAll("/volume", 0o755), unix.Mount("/dev/vda", "/files", "ext4", 0, "")); err != nil {
		t.Fatal(err)
	}
	ipe(t, "fsverity", "enable", "/files/jit")
	jit, _, _ = strings.Cut(ipe(t, "fsverity", "digest", "/files/jit"), " ")
	ipe(t, "dmverity", "format", "/dev/vdb", "/dev/vdc", "--root-hash-file", "/run/volume.roothash")
	ipe(t, "dmverity", "open", "/dev/vdb", "volume", "/dev/vdc", "--root-hash-file", "/run/volume.roothash")
	if err := unix.Mount("/dev/mapper/volume", "/volume", "ext4", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	hash, err := os.ReadFile("/run/volume.roothash")
	if err != nil {
		t.Fatal(err)
	}
	return "sha256:" + strings.TrimSpace(string(hash)), jit
}

func signText(t *testing.T, noun, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log(ipe(t, noun, "check", file))
	t.Log(ipe(t, noun, "sign", "--key", "/owner.key", "--cert", "/etc/ipe/trust/owner.der", file))
}

func profiledIped(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	return bare(t, append([]string{"--trust", "/etc/ipe/trust", "--state", profiledDir, "--policy-dir", ""}, flags...)...)
}

// tells demands how a command ends, and a line that it prints.
func tells(t *testing.T, code int, pattern string, args ...string) {
	t.Helper()
	cmd := exec.Command("/bin/ipe", append([]string{"--socket", "/run/iped.sock"}, args...)...)
	out, err := cmd.CombinedOutput()
	t.Logf("ipe %s: %d\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), out)
	if cmd.ProcessState.ExitCode() != code || !regexp.MustCompile("(?m)"+pattern).Match(out) {
		t.Errorf("ipe %v: %v, want exit status %d and %q", args, err, code, pattern)
	}
}

// excepted demands that the profile's exceptions hold, or not, and the denial of all else.
func excepted(t *testing.T, exceptions bool) {
	t.Helper()
	for path, got := range map[string]bool{
		"/files/jit":       exceptions,
		"/volume/another":  false,
		"/volume/starts":   false, // it is excepted, and executes another
		"/volume/maps":     exceptions,
		"/volume/maps-too": false,
	} {
		if err := exec.Command(path).Run(); (err == nil) != got || err != nil && !strings.HasSuffix(err.Error(), "exit status 1") {
			t.Errorf("%s: %v, want that it gets memory: %t", path, err, got)
		}
	}
	denied(t, "profiled")
}

// withoutGap tries what is denied, again and again, until what it returns is called.
func withoutGap(t *testing.T) (end func()) {
	var over atomic.Bool
	done := make(chan error)
	go func() {
		f, err := os.Open("/proc/self/exe")
		tried := 0
		for ; err == nil && !over.Load(); tried++ {
			time.Sleep(time.Millisecond)
			if _, merr := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); !errors.Is(merr, unix.EACCES) {
				err = fmt.Errorf("anonymous executable memory, at try %d: %v", tried, merr)
			}
			if _, merr := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE); !errors.Is(merr, unix.EACCES) {
				err = fmt.Errorf("a file, writable and executable, at try %d: %v", tried, merr)
			}
		}
		done <- err
	}()
	return func() {
		over.Store(true)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
