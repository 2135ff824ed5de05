//go:build guest

package fs_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/control/fs"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// serveOn makes TestServer a server, for a process that can be killed or stopped.
const serveOn = "IPE_CONTROLFS_TEST_DIR"

// watch is how such a server is watched, by a process of this program.
var watch = fs.Watch{Path: "/proc/self/exe", Patience: 3 * time.Second}

func TestMain(m *testing.M) {
	if os.Args[0] == fs.WatchdogName {
		os.Exit(fs.Watchdog(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestServer serves until it is killed if another test asks for that; otherwise it
// looks at a server that ends well.
func TestServer(t *testing.T) {
	dir := os.Getenv(serveOn)
	if dir == "" {
		m := mounted(t)
		f := m.open("enforce", os.O_RDONLY)
		if err := m.server.Close(); err != nil {
			t.Error(err)
		}
		_, err := f.Read(make([]byte, 1))
		wantErrno(t, "read after the end", err, unix.ENOTCONN)
		if left, err := os.ReadDir(m.dir); err != nil || len(left) != 0 {
			t.Errorf("left on the directory: %v, %v", left, err)
		}
		return
	}
	s, err := fs.MountGuarded(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), watch,
		slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("child", child.Process.Pid)
	s.Serve()
}

// running returns the processes of that name.
func running(t *testing.T, name string) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		comm, _ := os.ReadFile(file) // of one that has just ended, nothing
		var pid int
		if n, _ := fmt.Sscanf(file, "/proc/%d/", &pid); n == 1 && string(comm) == name+"\n" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !await.Until(is) {
		t.Errorf("never: %s", what)
	}
}

// halt stops all threads of a process.
func halt(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process is stopped", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range threads {
			if text, err := os.ReadFile(file); err == nil && !strings.Contains(string(text), ") T ") {
				return false
			}
		}
		return len(threads) > 0
	})
}

// TestHung: who waits for a server that is stopped gets an error, as does everybody
// else; when it goes on, the tree is there again.
func TestHung(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ipe")
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	var log controltest.Log
	cmd := victim(t, dir, &log)
	noPoll(t, filepath.Join(dir, "enforce"))
	f, err := os.OpenFile(filepath.Join(dir, "enforce"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stopped := time.Now()
	halt(t, cmd)
	// That may have taken until the cut: the server asks itself, and may be waiting.
	_, err = f.Read(make([]byte, 1))
	if got := errnoOf(err); got != unix.ECONNABORTED && got != unix.ENOTCONN {
		t.Errorf("read that waited: %v, want ECONNABORTED or ENOTCONN", err)
	}
	waited := time.Since(stopped)
	if waited < watch.Patience/2 || waited > 20*watch.Patience {
		t.Errorf("waited %v, patience is %v", waited, watch.Patience)
	}
	_, err = f.WriteString("0")
	wantErrno(t, "write", err, unix.ENOTCONN)
	wantErrno(t, "write by a shell", os.WriteFile(filepath.Join(dir, "enforce"), []byte("0"), 0o600), unix.ENOTCONN)
	_, err = os.ReadDir(dir)
	wantErrno(t, "readdir", err, unix.ENOTCONN)
	t.Logf("one access waited %v, three more %v", waited, time.Since(stopped)-waited)

	if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tree is mounted anew", func() bool {
		text, err := readOnce(filepath.Join(dir, "enforce"))
		return err == nil && text == "1"
	})
	if !strings.Contains(log.String(), "control tree was cut off") {
		t.Errorf("nothing in the log:\n%s", log.String())
	}
	_, err = f.WriteString("0")
	wantErrno(t, "descriptor of the old tree", err, unix.ENOTCONN)

	// Once more, as the same watchdog watches.
	halt(t, cmd)
	eventually(t, "cut again", func() bool { return errnoOf(unix.Access(filepath.Join(dir, "enforce"), unix.R_OK)) == unix.ENOTCONN })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("killed, and ended well")
	}
	eventually(t, "the watchdog ends with the server", func() bool { return len(running(t, fs.WatchdogName)) == 0 })
}

// TestWatchdogDies: nothing depends on the watchdog, and a dead one is replaced.
func TestWatchdogDies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ipe")
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	var log controltest.Log
	cmd := victim(t, dir, &log)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var dogs []int
	eventually(t, "a watchdog", func() bool {
		dogs = running(t, fs.WatchdogName)
		return len(dogs) == 1
	})
	noPoll(t, filepath.Join(dir, "enforce"))
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		if err := unix.Kill(dogs[0], sig); err != nil {
			t.Fatal(err)
		}
	}
	status := fmt.Sprintf("/proc/%d/status", dogs[0])
	eventually(t, "it is asked to end, and does not", func() bool {
		text, err := os.ReadFile(status)
		return err == nil && strings.Contains(string(text), "ShdPnd:\t0000000000000000")
	})
	if err := unix.Kill(dogs[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		time.Sleep(watch.Patience / 3)
		if text, err := readOnce(filepath.Join(dir, "enforce")); err != nil || text != "1" {
			t.Errorf("with a stopped watchdog: %q, %v", text, err)
		}
	}
	if err := unix.Kill(dogs[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another watchdog", func() bool {
		now := running(t, fs.WatchdogName)
		return len(now) == 1 && now[0] != dogs[0]
	})
	if !strings.Contains(log.String(), "starting another") {
		t.Errorf("nothing in the log:\n%s", log.String())
	}
	if text, err := readOnce(filepath.Join(dir, "enforce")); err != nil || text != "1" {
		t.Errorf("with another watchdog: %q, %v", text, err)
	}
}

// victim starts a server process on dir. It has a child that outlives it: had that
// inherited the connection, accesses would wait for it.
func victim(t *testing.T, dir string, log io.Writer) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServer$")
	cmd.Env = append(os.Environ(), serveOn+"="+dir)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var pid int
		if n, _ := fmt.Sscanf(sc.Text(), "child %d", &pid); n == 1 {
			t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
			return cmd
		}
	}
	t.Fatalf("the server did not start: %v", cmd.Wait())
	return nil
}

// TestKilled: accesses to the tree of a killed server fail at once, and the next
// server takes its place.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ipe")
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	for range 2 {
		cmd := victim(t, dir, os.Stderr)
		noPoll(t, filepath.Join(dir, "enforce"))
		f, err := os.OpenFile(filepath.Join(dir, "enforce"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("0"); err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("killed, and ended well")
		}
		died := time.Now()
		_, err = f.WriteString("1")
		wantErrno(t, "write", err, unix.ENOTCONN)
		_, err = os.ReadFile(filepath.Join(dir, "enforce"))
		wantErrno(t, "open", err, unix.ENOTCONN)
		_, err = os.ReadDir(dir)
		wantErrno(t, "readdir", err, unix.ENOTCONN)
		f.Close()
		t.Logf("three accesses after the kill took %v", time.Since(died))
	}
	s, err := fs.Mount(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), nil)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	noPoll(t, filepath.Join(dir, "enforce"))
	if text, err := os.ReadFile(filepath.Join(dir, "enforce")); err != nil || string(text) != "1" {
		t.Errorf("enforce of the next server reads %q, %v", text, err)
	}
	if _, err := fs.Mount(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), nil); err == nil {
		t.Error("two servers on one directory")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("still mounted: %v, %v", left, err)
	}
}

// TestMountFailures: errors say what cannot be mounted on.
func TestMountFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText)
	_, err := fs.Mount(file, c, nil)
	wantErrno(t, "on a file", err, unix.ENOTDIR)
	_, err = fs.Mount(file+"/x", c, nil)
	wantErrno(t, "below a file", err, unix.ENOTDIR)
}
