//go:build linux

package testvm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ipe-linux/ipe/internal/testvm/wire"
)

// run is Run with a given accelerator.
func run(ctx context.Context, cfg Config, accel string) (Result, error) {
	cfg = withDefaults(cfg)
	dir, err := os.MkdirTemp("", "testvm-")
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initramfs")
	if err := buildInitramfs(ctx, cfg, initrd); err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	args, err := qemuArgs(ctx, cfg, accel, initrd, dir)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("%w (%v)", ErrTimeout, cfg.Timeout))
	defer cancel()
	return execute(ctx, cfg, args)
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
	files, order, err := cfg.Kernel.modules(ctx, cfg.Modules)
	if err != nil {
		return err
	}
	all := Files{}
	all.Add(cfg.Files)
	all.Add(files)
	init, err := guestInit(ctx)
	if err != nil {
		return err
	}
	spec, err := json.Marshal(wire.Spec{
		Modules: order, Args: cfg.Command, Env: environment(cfg.Env), Dir: cfg.Dir, Merge: cfg.Merge, Init: cfg.Init,
	})
	if err != nil {
		return fmt.Errorf("write spec: %w", err)
	}
	all.Add(Files{"/init": {Data: init, Mode: 0o755}, wire.SpecPath: {Data: spec}})
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := writeInitramfs(out, all); err != nil {
		return err
	}
	return out.Close()
}

func environment(extra []string) []string {
	return slices.Concat([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp"}, extra)
}

// execute runs QEMU and collects what comes over the two serial lines.
func execute(ctx context.Context, cfg Config, args []string) (Result, error) {
	begin := time.Now()
	m, err := start(ctx, args)
	if err != nil {
		return Result{}, fmt.Errorf("start guest: %w", err)
	}
	var console bytes.Buffer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if _, err := io.Copy(tee(&console, cfg.Console), m.console); err != nil {
			_, _ = io.Copy(io.Discard, m.console) // the guest must not wait for a reader
		}
	}()
	res, err := collect(m.frames, cfg.Output)
	m.expectEnd()
	exit := m.wait()
	<-copied
	m.close()
	res.Console, res.Duration = console.Bytes(), time.Since(begin)
	if err != nil {
		return res, &GuestError{Err: blame(ctx, err, exit), Console: res.Console}
	}
	return res, nil
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
		return fmt.Errorf("%w: %w", ErrNoStatus, exit)
	}
	return err
}

// collect reads frames up to the exit status.
func collect(r io.Reader, live io.Writer) (Result, error) {
	var stdout, stderr, both bytes.Buffer
	code, err := readFrames(r, tee(&stdout, &both, live), tee(&stderr, &both, live))
	return Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Output: both.Bytes(), ExitCode: code}, err
}

func readFrames(r io.Reader, stdout, stderr io.Writer) (int, error) {
	frames, err := wire.NewReader(r)
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
