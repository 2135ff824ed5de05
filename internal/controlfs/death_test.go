//go:build guest

package controlfs_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/control/controltest"
	"github.com/ipe-linux/ipe/internal/controlfs"
)

// serveOn makes TestServer a server, for a process that can be killed.
const serveOn = "IPE_CONTROLFS_TEST_DIR"

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
	s, err := controlfs.Mount(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), nil)
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

// victim starts a server process on dir. It has a child that outlives it: had that
// inherited the connection, accesses would wait for it.
func victim(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServer$")
	cmd.Env = append(os.Environ(), serveOn+"="+dir)
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
		cmd := victim(t, dir)
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
	s, err := controlfs.Mount(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), nil)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	noPoll(t, filepath.Join(dir, "enforce"))
	if text, err := os.ReadFile(filepath.Join(dir, "enforce")); err != nil || string(text) != "1" {
		t.Errorf("enforce of the next server reads %q, %v", text, err)
	}
	if _, err := controlfs.Mount(dir, newControl(t, controltest.NewSigner(t, "owner").Keyring(), bootText), nil); err == nil {
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
	_, err := controlfs.Mount(file, c, nil)
	wantErrno(t, "on a file", err, unix.ENOTDIR)
	_, err = controlfs.Mount(file+"/x", c, nil)
	wantErrno(t, "below a file", err, unix.ENOTDIR)
}
