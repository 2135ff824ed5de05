//go:build guest

package vm_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKernelIsTheOneAskedFor(t *testing.T) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	t.Log("uname:", release, unix.ByteSliceToString(name.Version[:]))
	if want := os.Getenv("TESTVM_RELEASE"); release != want {
		t.Fatalf("kernel %s, want %s", release, want)
	}
}

func TestModulesAreLoaded(t *testing.T) {
	for _, name := range []string{"dm_mod", "dm_bufio", "dm_verity", "loop", "squashfs"} {
		if _, err := os.Stat("/sys/module/" + name); err != nil {
			t.Error(err)
		}
	}
	// The parameter asked for: loop makes that many devices when it is loaded.
	if _, err := os.Stat("/sys/block/loop10"); err != nil {
		t.Error(err)
	}
}

func TestFileSystemsAreMounted(t *testing.T) {
	for path, magic := range map[string]int64{
		"/proc":                unix.PROC_SUPER_MAGIC,
		"/sys":                 unix.SYSFS_MAGIC,
		"/sys/kernel/security": unix.SECURITYFS_MAGIC,
		"/sys/fs/bpf":          unix.BPF_FS_MAGIC,
		"/tmp":                 unix.TMPFS_MAGIC,
		"/run":                 unix.TMPFS_MAGIC,
	} {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err != nil || st.Type != magic {
			t.Errorf("%s: type %#x, want %#x, %v", path, st.Type, magic, err)
		}
	}
}

func TestRunsAsRootWithTestdata(t *testing.T) {
	if os.Getuid() != 0 || os.Getpid() == 1 {
		t.Errorf("uid %d, pid %d", os.Getuid(), os.Getpid())
	}
	text, err := os.ReadFile("testdata/greeting.txt")
	if err != nil || string(text) != "read in the guest\n" {
		t.Errorf("testdata: %q, %v", text, err)
	}
}

func TestFilesAreInPlace(t *testing.T) {
	text, err := os.ReadFile("/etc/link")
	if err != nil || string(text) != "by a link" {
		t.Errorf("%q, %v", text, err)
	}
	st, err := os.Stat("/bin/tool")
	if err != nil || st.Mode() != 0o750 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestDisks(t *testing.T) {
	got, err := os.ReadFile("/dev/vda")
	if err != nil || !bytes.HasPrefix(got, []byte("first disk")) {
		t.Fatalf("vda: %.20q, %v", got, err)
	}
	if err := os.WriteFile("/dev/vda", []byte("WRITTEN"), 0); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile("/dev/vdb", []byte("WRITTEN"), 0); err == nil {
		t.Error("a read-only disk was opened for writing")
	}
}

func TestCommandLineIsExtended(t *testing.T) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil || !strings.Contains(string(line), "testvm.mark=1") {
		t.Fatalf("%q, %v", line, err)
	}
	lsm, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil || strings.Contains(string(lsm), "apparmor") || !strings.Contains(string(lsm), "bpf") {
		t.Fatalf("lsm= is without effect: %q, %v", lsm, err)
	}
}

func TestKernelLogHasNoLimit(t *testing.T) {
	got, err := os.ReadFile("/proc/sys/kernel/printk_ratelimit")
	if err != nil || string(got) != "0\n" {
		t.Fatalf("printk_ratelimit is %q, %v", got, err)
	}
}
