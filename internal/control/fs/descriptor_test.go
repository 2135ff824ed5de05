//go:build guest

package fs_test

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReads(t *testing.T) {
	m := mounted(t)
	message := m.signed("site", "10.0.7")
	m.wantWrite("new_policy", message, 0)
	m.wantRead("policies/site/pkcs7", message)
	m.wantRead("policies/site/name", "site")
	m.wantRead("policies/site/version", "10.0.7")
	m.wantRead("policies/boot/policy", bootText)
	f := m.open("policies/boot/pkcs7", os.O_RDONLY)
	_, err := f.Read(make([]byte, 10))
	wantErrno(t, "message of an unsigned policy", err, unix.ENOENT)

	f = m.open("policies/site/version", os.O_RDONLY)
	part := make([]byte, 3)
	for _, want := range []string{"10.", "0.7"} {
		if n, err := f.Read(part); err != nil || string(part[:n]) != want {
			t.Errorf("partial read %q, %v; want %q", part[:n], err, want)
		}
	}
	if n, err := f.Read(part); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(part, 3); err != nil || string(part[:n]) != "0.7" {
		t.Errorf("pread %q, %v", part[:n], err)
	}
	if n, err := f.ReadAt(part, 1<<40); n != 0 || err != io.EOF {
		t.Errorf("pread far past the end: %d, %v", n, err)
	}
}

// TestWrongDirection: root may open what has no function for it.
func TestWrongDirection(t *testing.T) {
	m := mounted(t)
	for _, node := range []string{"new_policy", "policies/boot/update", "policies/boot/delete"} {
		_, err := os.ReadFile(m.path(node))
		wantErrno(t, "read "+node, err, unix.EINVAL)
	}
	for _, node := range []string{"pkcs7", "policy", "name", "version"} {
		m.wantWrite("policies/boot/"+node, "1", unix.EINVAL)
	}
	_, err := unix.Write(int(m.open("enforce", os.O_RDONLY).Fd()), []byte("1"))
	wantErrno(t, "write to a descriptor for reading", err, unix.EBADF)
	wantErrno(t, "fsync", m.open("enforce", os.O_RDWR).Sync(), unix.EINVAL)
}

// TestOffsets: writes ignore the offset, and do not move what is read next.
func TestOffsets(t *testing.T) {
	m := mounted(t)
	f := m.open("enforce", os.O_RDWR)
	for _, text := range []string{"0garbage", "1", "0", "on"} {
		if n, err := f.WriteString(text); n != len(text) || err != nil {
			t.Errorf("write %q: %d, %v", text, n, err)
		}
	}
	one := make([]byte, 1)
	if n, err := f.Read(one); n != 1 || err != nil || one[0] != '1' {
		t.Errorf("read after writes: %q, %v", one[:n], err)
	}
	if _, err := f.WriteString("0"); err != nil {
		t.Error(err)
	}
	if n, err := f.Read(one); n != 0 || err != io.EOF {
		t.Errorf("second read: %q, %v; want the end", one[:n], err)
	}
	if _, err := f.WriteAt([]byte("1"), 77); err != nil {
		t.Error(err)
	}
	m.wantRead("enforce", "1")
	f = m.open("success_audit", os.O_RDWR|os.O_APPEND)
	if _, err := f.WriteString("1"); err != nil {
		t.Error(err)
	}
	if n, err := f.Read(one); n != 1 || err != nil || one[0] != '1' {
		t.Errorf("read after appending: %q, %v", one[:n], err)
	}
}

// TestDeleted: what is open refers to the policy, not to its name.
func TestDeleted(t *testing.T) {
	m := mounted(t)
	m.wantWrite("new_policy", m.signed("site", "1.0.0"), 0)
	readers := []string{"pkcs7", "policy", "name", "version", "active"}
	var open []*os.File
	for _, node := range readers {
		open = append(open, m.open("policies/site/"+node, os.O_RDONLY))
	}
	active, update := m.open("policies/site/active", os.O_WRONLY), m.open("policies/site/update", os.O_WRONLY)
	remove := m.open("policies/site/delete", os.O_WRONLY)
	version := m.open("policies/site/version", os.O_RDONLY)
	m.wantWrite("policies/site/update", m.signed("site", "1.0.1"), 0)
	if text, err := io.ReadAll(version); err != nil || string(text) != "1.0.1" {
		t.Errorf("version after the update: %q, %v", text, err)
	}
	if _, err := remove.WriteString("1"); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for i, f := range open {
			_, err := f.Read(make([]byte, 10))
			wantErrno(t, readers[i]+when, err, unix.ENOENT)
		}
		for _, f := range []*os.File{active, remove} {
			_, err := f.WriteString("1")
			wantErrno(t, f.Name()+when, err, unix.ENOENT)
			_, err = f.WriteString("0")
			wantErrno(t, f.Name()+" false"+when, err, unix.EINVAL)
		}
		_, err := update.WriteString("nonsense")
		wantErrno(t, "update"+when, err, unix.ENOENT)
	}
	check(" after deletion")
	if _, err := os.Stat(m.path("policies/site")); errnoOf(err) != unix.ENOENT {
		t.Errorf("the directory: %v", err)
	}
	m.wantWrite("new_policy", m.signed("site", "1.0.2"), 0)
	check(" after another was loaded")
	m.wantRead("policies/site/active", "0")
}

// withoutCapability calls fn on a thread that lacks CAP_MAC_ADMIN meanwhile.
func withoutCapability(t testing.TB, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all, less [2]unix.CapUserData
	if err := unix.Capget(&hdr, &all[0]); err != nil {
		t.Fatal(err)
	}
	less = all
	less[unix.CAP_MAC_ADMIN/32].Effective &^= 1 << (unix.CAP_MAC_ADMIN % 32)
	if err := unix.Capset(&hdr, &less[0]); err != nil {
		t.Fatal(err)
	}
	fn()
	if err := unix.Capset(&hdr, &all[0]); err != nil {
		t.Fatal(err)
	}
}

// TestOpener: the rights are those at open, whoever writes.
func TestOpener(t *testing.T) {
	m := mounted(t)
	privileged := m.open("enforce", os.O_WRONLY)
	var plain *os.File
	withoutCapability(t, func() {
		plain = m.open("enforce", os.O_RDWR)
		if _, err := privileged.WriteString("0"); err != nil {
			t.Errorf("privileged descriptor, handed on: %v", err)
		}
		for _, node := range []string{"new_policy", "success_audit", "policies/boot/active", "policies/boot/update", "policies/boot/delete"} {
			m.wantWrite(node, "nonsense", unix.EPERM)
		}
		m.wantWrite("policies/boot/name", "1", unix.EINVAL)
		m.wantRead("enforce", "0")
	})
	_, err := plain.WriteString("1")
	wantErrno(t, "descriptor opened without the capability", err, unix.EPERM)
	m.wantRead("enforce", "0")
}

// TestOtherUsers read what the modes let them read, from whatever namespace.
func TestOtherUsers(t *testing.T) {
	m := mounted(t)
	if err := os.Chmod(m.dir+"/../..", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.dir+"/..", 0o755); err != nil {
		t.Fatal(err)
	}
	const script = `cat policies/boot/version && ! cat enforce && ! cat new_policy && ! { echo 0 >enforce; } && ! { echo >x; }`
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	wantScript(t, m, script, nobody)
	rootOfNamespace := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}}, GidMappings: []syscall.SysProcIDMap{{Size: 1}}}
	wantScript(t, m, `cat enforce && ! { echo 0 >enforce; } && ! { echo 1 >policies/boot/active; }`, rootOfNamespace)
	m.wantRead("enforce", "1")
	wantScript(t, m, `echo 0 >enforce && cat enforce`, nil)
	m.wantRead("enforce", "0")
}

// wantScript runs a shell in the tree.
func wantScript(t *testing.T, m *machine, script string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `cd "$1" && `+script, "sh", m.dir)
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}
