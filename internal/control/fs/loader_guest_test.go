//go:build guest

package fs_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// testLoader does what systemd does at boot. It has files as they would be found at successive boots, had a kernel's tree
// not forgotten all at each.
func testLoader(t *testing.T, dir string) {
	noPoll(t, filepath.Join(dir, "enforce"))
	l := &loader{racer{caller: caller{t, dir}, owner: owner(t)}}
	for _, step := range []struct {
		load          func(*loader, string, []byte) string
		name, version string
		comment       int
		want          string
	}{
		{(*loader).first, "loader", "65000.1.0", 0, "new_policy ok, active ok: 65000.1.0 active"},
		{(*loader).first, "loader", "65000.1.0", 0, "skipped: 65000.1.0 active"},
		{(*loader).first, "loader", "64999.9.9", 0, "skipped: 65000.1.0 active"},
		{(*loader).first, "loader", "65000.1.1", 0, "update ok, active ok: 65000.1.1 active"},
		{(*loader).second, "loader", "65000.2.0", 0, "update ok, active ok: 65000.2.0 active"},
		{(*loader).second, "loader", "65000.2.0", 0, "update ESTALE: 65000.2.0 active"},
		{(*loader).second, "loader", "65000.3.0", 10000, "update ok, active ok: 65000.3.0 active"},
		{(*loader).second, "old", "1.0.0", 0, "new_policy ok, active EINVAL: 1.0.0"},
		{(*loader).second, "next", "65001.0.0", 0, "new_policy ok, active ok: 65001.0.0 active"},
		{(*loader).first, "loader", "65000.4.0", 0, "update ok, active EINVAL: 65000.4.0"},
	} {
		message := l.message(step.name, step.version+"\n#"+strings.Repeat("x", step.comment))
		got := step.load(l, step.name, message) + ": " + l.state(step.name)
		if got != step.want {
			t.Errorf("%s %s: %s, want %s", step.name, step.version, got, step.want)
		}
	}
}

// loader does what systemd's src/core/ipe-setup.c does for each file that it finds.
type loader struct{ racer }

func (l *loader) path(name, node string) string { return filepath.Join(l.dir, "policies", name, node) }

func (l *loader) state(name string) string {
	version, err := os.ReadFile(l.path(name, "version"))
	if err != nil {
		l.Error(err)
	}
	if active, err := os.ReadFile(l.path(name, "active")); err != nil || string(active) != "1" {
		return string(version)
	}
	return string(version) + " active"
}

// first is the loader of systemd 257's first days: it looks for name and version in the
// lines of the file, and compares the version with what is there.
func (l *loader) first(_ string, message []byte) string {
	var name, version string
	for line := range bytes.Lines(message) {
		name = orElse(name, after(line, "policy_name="))
		version = orElse(version, after(line, "policy_version="))
	}
	have, err := os.ReadFile(l.path(name, "version"))
	if err == nil && compareVersions(l, version, string(have)) <= 0 {
		return "skipped"
	}
	if err == nil {
		return l.install(name, "update", l.path(name, "update"), message)
	}
	wantErrno(l, "version of what is not there", err, unix.ENOENT)
	return l.install(name, "new_policy", filepath.Join(l.dir, "new_policy"), message)
}

// second is the present one: a file is called as its policy, and whether that is there
// shows by opening its update node.
func (l *loader) second(name string, message []byte) string {
	fd, err := unix.Open(l.path(name, "update"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		return l.install(name, "update", l.path(name, "update"), message)
	}
	wantErrno(l, "update of what is not there", err, unix.ENOENT)
	return l.install(name, "new_policy", filepath.Join(l.dir, "new_policy"), message)
}

// install copies the file in one go and makes its policy active.
func (l *loader) install(name, verb, node string, message []byte) string {
	if err := l.copyBytes(node, message); err != nil {
		return verb + " " + result(err)
	}
	fd, err := unix.Open(l.path(name, "active"), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return "open active " + result(err)
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, []byte("1\n"))
	return verb + " ok, active " + result(err, "ok", short(n, 2))
}

// copyBytes tries the ways to copy that systemd tries, in its order.
func (l *loader) copyBytes(node string, message []byte) error {
	name := filepath.Join(l.TempDir(), "policy.p7b")
	if err := os.WriteFile(name, message, 0o644); err != nil {
		l.Fatal(err)
	}
	in, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		l.Fatal(err)
	}
	defer unix.Close(in)
	out, err := unix.Open(node, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	const all = 1<<31 - 1
	if n, err := unix.CopyFileRange(in, nil, out, nil, all, 0); err == nil && n > 0 {
		l.whole(n, message)
		return nil
	}
	switch n, err := unix.Sendfile(out, in, nil, all); {
	case err == nil && n > 0:
		l.whole(n, message)
		return nil
	case errnoOf(err) != unix.EINVAL && errnoOf(err) != unix.ENOSYS:
		return err
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(in, buf)
		if err != nil || n == 0 {
			return err
		}
		m, err := unix.Write(out, buf[:n])
		if err != nil {
			return err
		}
		l.whole(m, buf[:n])
	}
}

// whole wants all of the data taken.
func (l *loader) whole(n int, data []byte) {
	l.Helper()
	if n != len(data) {
		l.Errorf("%d of %d bytes are taken", n, len(data))
	}
}

// short is empty if all is taken.
func short(n, all int) string {
	if n == all {
		return ""
	}
	return fmt.Sprintf(", %d of %d bytes", n, all)
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// after is what follows a word in a line, up to a blank.
func after(line []byte, word string) string {
	_, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), word)
	rest, _, _ = strings.Cut(rest, " ")
	return rest
}

// compareVersions is enough for three numbers.
func compareVersions(l *loader, a, b string) int {
	parse := func(text string) (n int) {
		var x, y, z int
		if _, err := fmt.Sscanf(text, "%d.%d.%d", &x, &y, &z); err != nil {
			l.Error(err)
		}
		return x<<32 | y<<16 | z
	}
	return parse(a) - parse(b)
}
