//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// otherBuild makes what e pinned look like the pins of another build, after e is
// closed.
func otherBuild(t *testing.T, dir string) string {
	t.Helper()
	builds, err := filepath.Glob(filepath.Join(dir, "v*-*"))
	if err != nil || len(builds) != 1 {
		t.Fatalf("builds %v, %v", builds, err)
	}
	version, _, _ := strings.Cut(filepath.Base(builds[0]), "-")
	other := filepath.Join(dir, version+"-0123456789abcdef")
	if err := os.Rename(builds[0], other); err != nil {
		t.Fatal(err)
	}
	return other
}

// TestEngineTakesOverOtherBuild: another build of the engine enforces. This one
// decides as it did, with all that it had learnt, before the other goes; and it goes
// only after a self-test.
func TestEngineTakesOverOtherBuild(t *testing.T) {
	const dir = "/sys/fs/bpf/upgrade"
	old := openAt(t, dir)
	mountAll(t)
	if err := unix.Access("/files/signed", unix.X_OK); err != nil {
		t.Fatal(err)
	}
	held := reopenSigned(t)
	defer held.Close()
	a := activate(t, old, enforcing, "DEFAULT action=DENY", "op=EXECUTE fsverity_signature=TRUE action=ALLOW")
	signedBefore := execute("/files/signed")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	other := otherBuild(t, dir)
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	s, err := e.State()
	if err != nil || !s.HasPolicy || s.ID != a.ID || !s.Mode.Enforce || !s.OtherBuild || s.Adopted {
		t.Errorf("state %+v, %v", s, err)
	}
	if st, err := e.SelfTest(a); err != nil || !st.DenialSeen {
		t.Fatalf("%+v, %v", st, err)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other build is still there: %v", err)
	}
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("after the upgrade: %v, want EACCES", err)
	}
	if signedAfter := execute("/files/signed"); !errors.Is(signedAfter, signedBefore) {
		t.Errorf("signed file: %v before the upgrade, %v after it", signedBefore, signedAfter)
	}
}

// reopenSigned has the kernel build the file's verity information, and so announce
// its signature, while an engine listens.
func reopenSigned(t *testing.T) *os.File {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/files/signed")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEngineKeepsOtherBuildUntilProven: a self-test of a policy that the kernel does
// not have fails, and detaches nothing.
func TestEngineKeepsOtherBuildUntilProven(t *testing.T) {
	const dir = "/sys/fs/bpf/unproven"
	old := openAt(t, dir)
	deny := activate(t, old, enforcing, "DEFAULT action=DENY")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	other := otherBuild(t, dir)
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	activate(t, e, enforcing, "DEFAULT action=ALLOW")
	if st, err := e.SelfTest(deny); err != nil || st.DenialSeen {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := os.Stat(filepath.Join(other, "link_mmap_file")); err != nil {
		t.Errorf("the other build was removed: %v", err)
	}
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("what the other build denies: %v, want EACCES", err)
	}
}

// TestEngineReplacesOrphans: links whose maps are no longer the pinned ones, as a
// removal that was cut off leaves them, are not adopted.
func TestEngineReplacesOrphans(t *testing.T) {
	const dir = "/sys/fs/bpf/orphans"
	old := openAt(t, dir)
	activate(t, old, enforcing, "DEFAULT action=DENY")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	maps, err := filepath.Glob(filepath.Join(dir, "v*-*", "ipe_*"))
	if err != nil || len(maps) == 0 {
		t.Fatalf("%v, %v", maps, err)
	}
	for _, m := range maps {
		if err := os.Remove(m); err != nil {
			t.Fatal(err)
		}
	}
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	if s, err := e.State(); err != nil || s.HasPolicy || s.Adopted {
		t.Errorf("state %+v, %v", s, err)
	}
	activate(t, e, enforcing, "DEFAULT action=ALLOW")
	time.Sleep(500 * time.Millisecond) // a replaced link is freed late
	if err := mapAnonymous(); err != nil {
		t.Errorf("the orphans still decide: %v", err)
	}
}

func TestEngineHasOneHolder(t *testing.T) {
	open(t)
	if _, err := bpf.Open(bpf.Options{PinDir: filepath.Join("/sys/fs/bpf", t.Name())}); !errors.Is(err, bpf.ErrInUse) {
		t.Errorf("second holder: %v, want ErrInUse", err)
	}
}

func TestEngineRefusesPinsOfOthers(t *testing.T) {
	const dir = "/sys/fs/bpf/open-to-all"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := bpf.Open(bpf.Options{PinDir: dir}); err == nil || !strings.Contains(err.Error(), "only its owner") {
		t.Errorf("%v, want a refusal", err)
	}
}

// TestEngineKeepsRecordsOfAbsence: what was recorded while no process was there is
// delivered to the next one.
func TestEngineKeepsRecordsOfAbsence(t *testing.T) {
	const dir = "/sys/fs/bpf/absence"
	old := openAt(t, dir)
	activate(t, old, enforcing, "DEFAULT action=DENY")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Fatal(err)
	}
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	got := make(chan engine.Event, 16)
	go e.Events(t.Context(), func(ev engine.Event) { got <- ev })
	select {
	case ev := <-got:
		if ev.PID != uint32(os.Getpid()) || !ev.Enforcing {
			t.Errorf("%+v", ev)
		}
	case <-time.After(await.Limit):
		t.Error("no record")
	}
}

// TestEngineStateDuringSwitches: reading the state never meets a table that is gone.
func TestEngineStateDuringSwitches(t *testing.T) {
	e := open(t)
	activate(t, e, enforcing, "DEFAULT action=ALLOW")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				t.Logf("%d reads", n)
				return
			default:
			}
			if s, err := e.State(); err != nil || !s.HasPolicy {
				t.Errorf("%+v, %v", s, err)
				return
			}
		}
	})
	for range 100 {
		activate(t, e, enforcing, "DEFAULT action=ALLOW")
	}
	close(stop)
	wg.Wait()
}

// TestEngineRemembersSignatures: what the kernel checked while no process held the
// engine counts for the next one; no signature, and one of another file, do not.
func TestEngineRemembersSignatures(t *testing.T) {
	const dir = "/sys/fs/bpf/remembers"
	if err := openAt(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	mountAll(t) // and with it the key
	mountFresh(t, "again")
	tool(t, "fsverity", "enable", "/again/sealed")
	tool(t, "fsverity", "enable", "/again/signed", "--signature=/images/digest.p7s")
	if out, err := exec.Command("fsverity", "enable", "/again/plain", "--signature=/images/digest.p7s").CombinedOutput(); err == nil {
		t.Errorf("the kernel took the signature of another file: %s", out)
	}
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	if s, err := e.State(); err != nil || !s.Adopted {
		t.Errorf("state %+v, %v", s, err)
	}
	activate(t, e, enforcing, "DEFAULT action=DENY", "op=EXECUTE fsverity_signature=TRUE action=ALLOW")
	for path, want := range map[string]error{"/again/signed": nil, "/again/sealed": unix.EACCES, "/again/plain": unix.EACCES} {
		if err := execute(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
