//go:build guest

package soak

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
	"github.com/ipe-linux/ipe/verity/dmverity"
)

// at is where the volume is mounted; it becomes the root of programs.
const at = "/programs"

// openVolume mounts the volume and what programs need around it.
func openVolume(t *testing.T, root digest.Digest) {
	t.Helper()
	data, err := os.Open("/dev/vda")
	check(t, err)
	defer data.Close()
	hashes, err := os.Open("/dev/vdb")
	check(t, err)
	defer hashes.Close()
	volume, err := dmverity.ReadSuperblock(hashes, 0)
	check(t, err)
	d, err := devmapper.Open(devmapper.Request{Name: "programs", Table: dmverity.Table{Volume: volume, Root: root}, Data: data, Hash: hashes})
	check(t, err)
	check(t, os.Mkdir(at, 0o755))
	check(t, unix.Mount(d.Path(), at, "squashfs", unix.MS_RDONLY, ""))
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		check(t, unix.Mount(dir, at+dir, "", unix.MS_BIND|unix.MS_REC, ""))
	}
	check(t, unix.Mount("tmpfs", at+"/run", "tmpfs", 0, "mode=0755"))
}

// patience is how long a program may take.
const patience = 5 * time.Minute

// run runs a command with the volume as its root and an empty /tmp.
func run(t *testing.T, p Program) (string, error) {
	t.Helper()
	check(t, unix.Mount("tmpfs", at+"/tmp", "tmpfs", 0, "mode=1777"))
	defer func() { check(t, unix.Unmount(at+"/tmp", unix.MNT_DETACH)) }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.Command)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: at, Setpgid: true}
	if p.User {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 100, Gid: 100}
	}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	out, err := cmd.CombinedOutput()
	return string(out), err
}
