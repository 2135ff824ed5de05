//go:build guest

package soak

import (
	"context"
	"errors"
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
	check(t, mountVolume(root))
	check(t, bindKernel(at))
	check(t, unix.Mount("tmpfs", at+"/run", "tmpfs", 0, "mode=0755"))
}

// mountVolume opens the volume and mounts it.
func mountVolume(root digest.Digest) error {
	data, err := os.Open("/dev/vda")
	if err != nil {
		return err
	}
	defer data.Close()
	hashes, err := os.Open("/dev/vdb")
	if err != nil {
		return err
	}
	defer hashes.Close()
	volume, err := dmverity.ReadSuperblock(hashes, 0)
	if err != nil {
		return err
	}
	d, err := devmapper.Open(devmapper.Request{Name: "programs", Table: dmverity.Table{Volume: volume, Root: root}, Data: data, Hash: hashes})
	if err != nil {
		return err
	}
	return errors.Join(os.Mkdir(at, 0o755), unix.Mount(d.Path(), at, "squashfs", unix.MS_RDONLY, ""))
}

// bindKernel shows the kernel's file systems in another root.
func bindKernel(root string) (err error) {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		err = errors.Join(err, unix.Mount(dir, root+dir, "", unix.MS_BIND|unix.MS_REC, ""))
	}
	return err
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
