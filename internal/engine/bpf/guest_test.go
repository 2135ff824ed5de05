//go:build guest

package bpf_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/policy"
)

// open starts an engine of the test's own and takes it away again afterwards.
func open(t *testing.T) *bpf.Engine {
	t.Helper()
	dir := filepath.Join("/sys/fs/bpf", strings.ReplaceAll(t.Name(), "/", "_"))
	e := openAt(t, dir)
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return e
}

func openAt(t *testing.T, dir string) *bpf.Engine {
	t.Helper()
	return openWith(t, bpf.Options{PinDir: dir})
}

func openWith(t *testing.T, o bpf.Options) *bpf.Engine {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	e, err := bpf.Open(o)
	if err != nil {
		var ve *engine.VerifierError
		if errors.As(err, &ve) {
			t.Log(strings.Join(ve.Log, "\n"))
		}
		t.Fatal(err)
	}
	return e
}

// activate parses a policy's statements and makes them decide in the given mode.
// Whatever the statements, the initramfs with this test stays executable.
func activate(t *testing.T, e *bpf.Engine, mode engine.Mode, statements ...string) engine.Active {
	t.Helper()
	text := "policy_name=test policy_version=0.0.1\nop=EXECUTE boot_verified=TRUE action=ALLOW\n" + strings.Join(statements, "\n") + "\n"
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a := engine.Active{Policy: p, ID: [32]byte([]byte(fmt.Sprintf("%32.32s", t.Name())))}
	if err := e.SetMode(mode); err != nil {
		t.Fatal(err)
	}
	if err := e.Activate(a); err != nil {
		t.Fatal(err)
	}
	return a
}

var enforcing = engine.Mode{Enforce: true}

func TestEngineStartsWithoutPolicy(t *testing.T) {
	e := open(t)
	s, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	if s.HasPolicy || s.Adopted || s.Generation != 0 || len(s.Problems) > 0 {
		t.Errorf("a fresh engine says %+v", s)
	}
	want := []string{"bprm_check_security", "file_mprotect", "inode_free_security", "kernel_load_data", "kernel_read_file", "mmap_file"}
	switch os.Getenv("KERNEL_NAME") {
	case "6.1":
		want = append(want, "fsverity_verify_signature")
	case "6.12":
		want = append(want, "inode_setintegrity")
	default:
		want = append(want, "inode_setintegrity", "bprm_creds_for_exec")
	}
	slices.Sort(want)
	if fmt.Sprint(s.Hooks) != fmt.Sprint(want) {
		t.Errorf("hooks %v, want %v", s.Hooks, want)
	}
	if err := mapAnonymous(); err != nil {
		t.Errorf("without a policy: %v", err)
	}
	for _, c := range e.Capabilities() {
		t.Logf("%-20s %-5v %s", c.Name, c.Available, c.Detail)
	}
}

func TestEngineSelfTest(t *testing.T) {
	e := open(t)
	for _, tt := range []struct {
		name         string
		mode         engine.Mode
		statements   []string
		seen, failed bool
	}{
		{"deny all", enforcing, []string{"DEFAULT action=DENY"}, true, false},
		{"permissive", engine.Mode{}, []string{"DEFAULT action=DENY"}, false, false},
		{"allow all", enforcing, []string{"DEFAULT action=ALLOW"}, false, false},
		{"deny unsigned", enforcing, []string{"DEFAULT action=ALLOW", "op=EXECUTE dmverity_signature=FALSE action=DENY"}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := activate(t, e, tt.mode, tt.statements...)
			st, err := e.SelfTest(a)
			if err != nil {
				t.Fatal(err)
			}
			if st.DenialSeen != tt.seen || st.Failed != tt.failed {
				t.Errorf("%+v", st)
			}
		})
	}
	t.Run("leaves no thread renamed", func(t *testing.T) {
		names, err := filepath.Glob("/proc/self/task/*/comm")
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, n := range names {
			if comm, err := os.ReadFile(n); err == nil && strings.HasPrefix(string(comm), "ipe-") {
				t.Errorf("%s: %s", n, comm)
			}
		}
	})
	t.Run("another policy than the kernel's", func(t *testing.T) {
		a := activate(t, e, enforcing, "DEFAULT action=DENY")
		activate(t, e, enforcing, "DEFAULT action=ALLOW")
		st, err := e.SelfTest(a)
		if err != nil || !st.Failed || st.DenialSeen {
			t.Errorf("%+v, %v: a kernel that does not deny passed", st, err)
		}
	})
}

// TestEngineSurvivesKill: a process loads the engine and is killed; nothing
// changes. The next process finds it as it was.
func TestEngineSurvivesKill(t *testing.T) {
	const dir = "/sys/fs/bpf/killed"
	if os.Getenv("HOLD_ENGINE") != "" {
		activate(t, openAt(t, dir), enforcing, "DEFAULT action=DENY")
		fmt.Println("holding")
		select {}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineSurvivesKill$", "-test.v")
	cmd.Env = append(os.Environ(), "HOLD_ENGINE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, out, "holding")
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("while the process lives: %v, want EACCES", err)
	}
	if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
			t.Fatalf("after SIGKILL: %v, want EACCES", err)
		}
	}
	e := openAt(t, dir)
	defer os.RemoveAll(dir)
	defer e.Close()
	s, err := e.State()
	if err != nil {
		t.Fatal(err)
	}
	if !s.Adopted || !s.HasPolicy || s.Generation != 1 || !s.Mode.Enforce || !strings.Contains(string(s.ID[:]), "TestEngineSurvivesKill") {
		t.Errorf("adopted state %+v", s)
	}
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("after adoption: %v, want EACCES", err)
	}
}

func waitFor(t *testing.T, r interface{ Read([]byte) (int, error) }, word string) {
	t.Helper()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(all.String(), word) {
		n, err := r.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			t.Fatalf("child ended: %v\n%s", err, all.String())
		}
	}
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func TestRefusedByLSMList(t *testing.T) {
	_, err := bpf.Open(bpf.Options{})
	var unsupported *abi.UnsupportedError
	if !errors.As(err, &unsupported) || unsupported.Feature != abi.LSMList {
		t.Fatalf("%v, want a refusal because of lsm=", err)
	}
	if !strings.Contains(unsupported.Fix, "capability,yama,bpf") {
		t.Errorf("the fix does not have the exact line: %q", unsupported.Fix)
	}
}

// The actions, each without effects if allowed.

func mapAnonymous() error { return mapMemory(unix.MAP_PRIVATE) }

func mapMemory(flags int) error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, flags|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func protectAnonymous(flags int) error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC), unix.Munmap(mem))
}

// execute runs a script whose interpreter does not exist: nil means that the
// script itself was allowed.
func execute(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	argv := []*byte{p, nil}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])))
	if errno == unix.ENOENT {
		return nil
	}
	return errno
}

// askToExecute lets the kernel check an execution that does not take place.
func askToExecute(path string) error {
	const check = 0x10000 // AT_EXECVE_CHECK
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	at := unix.AT_FDCWD
	argv := []*byte{p, nil}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(at), uintptr(unsafe.Pointer(p)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])), check, 0)
	if errno == 0 {
		return nil
	}
	return errno
}

func mapFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return mapOpen(f)
}

func mapOpen(f *os.File) error {
	mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return unix.Munmap(mem)
}

func protectFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return protectOpen(f)
}

func protectOpen(f *os.File) error {
	mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC), unix.Munmap(mem))
}

// TestMain refuses to run anywhere but in a test guest, whose root is the
// initramfs: these tests attach programs that deny.
func TestMain(m *testing.M) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !strings.HasPrefix(string(mounts), "rootfs / rootfs ") && !strings.HasPrefix(string(mounts), "none / rootfs ") {
		fmt.Fprintln(os.Stderr, "these tests attach programs that deny: they run in a test guest only")
		os.Exit(1)
	}
	if count, ok := os.LookupEnv(stormEnv); ok {
		if err := storm(count); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
