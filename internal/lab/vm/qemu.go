//go:build linux

package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const qemu = "qemu-system-x86_64"

// powerOffTime is how long a guest that has reported may take to power off.
const powerOffTime = 10 * time.Second

// cmdline is the kernel's command line before Config.Append: log to the first
// serial line, end the virtual machine on a panic or an oops, and trust the timer: on a
// busy host it ticks too late for the test that a kernel makes of it, and panics over.
const cmdline = "console=ttyS0,115200 loglevel=7 panic=-1 oops=panic no_timer_check rdinit=/init"

func commandLine(more []string) string {
	return strings.Join(append([]string{cmdline}, more...), " ")
}

// qemuArgs is the command line of QEMU. Serial lines are the child's files 3, the
// console, and 4, the frames.
func qemuArgs(ctx context.Context, cfg Config, accel, initrd, dir string) ([]string, error) {
	args := hardware(cfg)
	if cfg.CountInstructions {
		args = append(args, "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off")
	} else {
		args = append(args, "-accel", accel)
	}
	for i, d := range cfg.Disks {
		args = append(args, diskArgs(i, d)...)
	}
	boot, err := bootArgs(ctx, cfg, initrd, dir)
	return append(args, boot...), err
}

// cpu is all that QEMU can do, but for fast byte strings: emulation stores a page that
// is cleared so byte by byte, which took a tenth of a guest's time.
const cpu = "max,-erms"

// hardware is the machine without disks and what it boots.
func hardware(cfg Config) []string {
	return []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-cpu", cpu,
		"-m", strconv.Itoa(cfg.MemoryMiB), "-smp", strconv.Itoa(cfg.CPUs),
		"-serial", "file:/dev/fd/3", "-serial", "file:/dev/fd/4",
	}
}

// bootArgs is what the machine boots, and how.
func bootArgs(ctx context.Context, cfg Config, initrd, dir string) (args []string, err error) {
	if cfg.MOK {
		return mokArgs(ctx, cfg, initrd, dir)
	}
	if cfg.UEFI {
		args, err = firmwareArgs(dir)
	}
	return append(args, "-kernel", cfg.Kernel.Image(), "-initrd", initrd,
		"-append", commandLine(cfg.Append)), err
}

func diskArgs(i int, d Disk) []string {
	drive := fmt.Sprintf("if=none,id=disk%d,format=raw,%s", i, fileOf(d))
	return []string{"-drive", drive, "-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d", i)}
}

func fileOf(d Disk) string {
	if d.ReadOnly {
		return "readonly=on,file=" + escape(d.Path)
	}
	return "file=" + escape(d.Path)
}

// escape doubles commas, which separate options in QEMU's arguments.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// machine is a running QEMU.
type machine struct {
	cmd             *exec.Cmd
	console, frames *os.File
	cancel          context.CancelFunc
	ended           chan error
}

// start runs QEMU until ctx is done. The kernel kills it when this process dies
// first, so no guest outlives a test. Change, if not nil, changes how it is started.
func start(ctx context.Context, args []string, change func(*exec.Cmd)) (*machine, error) {
	consoleR, consoleW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	framesR, framesW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.ExtraFiles = []*os.File{consoleW, framesW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if change != nil {
		change(cmd)
	}
	m := &machine{cmd: cmd, console: consoleR, frames: framesR, cancel: cancel, ended: make(chan error, 1)}
	started := make(chan error)
	go supervise(cmd, started, m.ended)
	err = <-started
	consoleW.Close()
	framesW.Close()
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// supervise starts and awaits the command on one thread, because the parent-death
// signal is sent when the thread that started the child ends.
func supervise(cmd *exec.Cmd, started, ended chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Start()
	started <- err
	if err != nil {
		return
	}
	if err = cmd.Wait(); err != nil {
		err = fmt.Errorf("%s: %w: %s", qemu, err, bytes.TrimSpace(stderr.Bytes()))
	}
	ended <- err
}

// expectEnd kills a guest that has no more to say and does not power off.
func (m *machine) expectEnd() {
	time.AfterFunc(powerOffTime, m.cancel)
}

// wait gives QEMU's own error, once it has ended.
func (m *machine) wait() error { return <-m.ended }

// used is what it took of the host's processors, once it has ended.
func (m *machine) used() time.Duration {
	state := m.cmd.ProcessState
	if state == nil {
		return 0
	}
	return state.UserTime() + state.SystemTime()
}

func (m *machine) close() {
	m.cancel()
	m.console.Close()
	m.frames.Close()
}
