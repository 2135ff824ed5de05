//go:build linux

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// run is Run with a given accelerator.
func run(ctx context.Context, cfg Config, accel string) (Result, error) {
	restore := restorable(cfg, accel)
	cfg = withDefaults(cfg)
	dir, err := os.MkdirTemp("", "testvm-")
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	defer os.RemoveAll(dir)
	if restore {
		return runRestored(ctx, cfg, dir)
	}
	return runCold(ctx, cfg, accel, dir)
}

// runCold boots the kernel for this run alone.
func runCold(ctx context.Context, cfg Config, accel, dir string) (Result, error) {
	cfg.Append = append(tscArgs(cfg, accel), cfg.Append...)
	initrd := filepath.Join(dir, "initramfs")
	if err := buildInitramfs(ctx, cfg, initrd); err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	args, err := qemuArgs(ctx, cfg, accel, initrd, dir)
	if err != nil {
		return Result{}, err
	}
	return execute(ctx, cfg, nil, args)
}

func withDefaults(cfg Config) Config {
	cfg.MemoryMiB = orElse(cfg.MemoryMiB, 1024)
	cfg.CPUs = orElse(cfg.CPUs, 2)
	cfg.Timeout = orElse(cfg.Timeout, DefaultTimeout)
	if cfg.CountInstructions {
		cfg.CPUs = 1
	}
	if len(cfg.Disks) > 0 {
		cfg.Modules = append([]string{"virtio_pci", "virtio_blk"}, cfg.Modules...)
	}
	return cfg
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// buildInitramfs writes the guest's whole root file system to dst.
func buildInitramfs(ctx context.Context, cfg Config, dst string) error {
	all, err := guestFiles(ctx, cfg)
	if err != nil {
		return err
	}
	init, err := guestInit()
	if err != nil {
		return err
	}
	all.Add(Files{"/init": {Data: init, Mode: 0o755}})
	return create(dst, func(w io.Writer) error { return writeInitramfs(w, all) })
}

// guestFiles is all that the guest's init program needs for the run.
func guestFiles(ctx context.Context, cfg Config) (Files, error) {
	files, order, err := modulesFor(ctx, cfg.Kernel, cfg.Modules)
	if err != nil {
		return nil, err
	}
	all := Files{}
	all.Add(cfg.Files)
	all.Add(files)
	return all, addSpec(all, wire.Spec{
		Modules: order, Args: cfg.Command, Env: environment(cfg.Env), Dir: cfg.Dir, Merge: cfg.Merge, Init: cfg.Init, Disks: len(cfg.Disks),
	})
}

func addSpec(all Files, spec wire.Spec) error {
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("write spec: %w", err)
	}
	all.Add(Files{wire.SpecPath: {Data: text}})
	return nil
}

// create makes a file with what write gives it.
func create(name string, write func(io.Writer) error) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := write(out); err != nil {
		return err
	}
	return out.Close()
}

// readInto copies a file's content.
func readInto(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func environment(extra []string) []string {
	return slices.Concat([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp"}, extra)
}

// execute runs QEMU and collects what comes over the two serial lines; the console
// begins with what was on it before.
func execute(ctx context.Context, cfg Config, before []byte, args []string) (res Result, err error) {
	begin := time.Now()
	live := tee(cfg.Console)
	_, _ = live.Write(before) // as below
	var guest *machine
	console, _, err := converse(ctx, cfg.Timeout, args, nil, live, func(m *machine) (err error) {
		guest = m
		res, err = collect(m.frames, cfg.Output)
		m.expectEnd()
		return err
	})
	if errors.Is(err, errStart) {
		return Result{}, err
	}
	res.Console, res.Duration, res.Processors = slices.Concat(before, console), time.Since(begin), guest.used()
	if err != nil {
		return res, &GuestError{Err: err, Console: res.Console}
	}
	return res, nil
}

// errStart means that there was no guest.
var errStart = errors.New("start guest")

// converse runs QEMU, talks to it in the meantime, and gives what was on the console and
// how QEMU ended. Change, if not nil, changes how it is started. An error is that of the
// talk or what is to blame for it.
func converse(ctx context.Context, timeout time.Duration, args []string, change func(*exec.Cmd), live io.Writer, talk func(*machine) error) (console []byte, exit, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	m, err := start(ctx, args, change)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errStart, err)
	}
	defer m.close()
	go allow(ctx, end, m.cmd.Process.Pid, timeout)
	var text bytes.Buffer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if _, err := io.Copy(tee(&text, live), m.console); err != nil {
			_, _ = io.Copy(io.Discard, m.console) // the guest must not wait for a reader
		}
	}()
	err = talk(m)
	exit = m.wait()
	<-copied
	if err != nil {
		err = blame(ctx, err, exit)
	}
	return text.Bytes(), exit, err
}

// blame names the reason why there is no exit status: what the stream said, or if
// it only ended, the time that was over, or QEMU's own failure.
func blame(ctx context.Context, err, exit error) error {
	switch {
	case !errors.Is(err, ErrNoStatus):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case exit != nil:
		return fmt.Errorf("%w: %w", err, exit)
	}
	return err
}

// collect reads frames up to the exit status.
func collect(r io.Reader, live io.Writer) (Result, error) {
	var stdout, stderr, both bytes.Buffer
	code, err := readFrames(r, tee(&stdout, &both, live), tee(&stderr, &both, live))
	return Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Output: both.Bytes(), ExitCode: code}, err
}

// errNotBegun means that the guest ended before its init program had prepared it.
var errNotBegun = fmt.Errorf("%w, and before it began", ErrNoStatus)

func readFrames(r io.Reader, stdout, stderr io.Writer) (int, error) {
	frames, err := wire.NewReader(r)
	if errors.Is(err, io.EOF) {
		return 0, errNotBegun
	}
	for err == nil {
		var kind wire.Kind
		var payload []byte
		kind, payload, err = frames.Next()
		if err != nil {
			break
		}
		switch kind {
		case wire.Stdout:
			_, err = stdout.Write(payload)
		case wire.Stderr:
			_, err = stderr.Write(payload)
		case wire.Exit:
			return wire.Status(payload)
		case wire.Fault:
			return 0, fmt.Errorf("%w: %s", ErrSetup, payload)
		}
	}
	if errors.Is(err, io.EOF) {
		err = ErrNoStatus
	}
	return 0, err
}

// tee writes to all writers that are not nil.
func tee(writers ...io.Writer) io.Writer {
	return io.MultiWriter(slices.DeleteFunc(writers, func(w io.Writer) bool { return w == nil })...)
}
