//go:build linux

package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vm/wire"
)

// A boot under emulation takes five to thirteen seconds of a processor and is the same
// for most guests. So it is done once, QEMU saves the guest's memory and devices, and
// each guest starts from there in about one second. What would then be the same in all,
// randomness and clock, is set anew by the guest's init program.

// stateEnv names the file of the state to the shell that QEMU starts for it.
const stateEnv = "IPE_VM_STATE"

// Files of a snapshot.
const (
	stateFile   = "state"
	consoleFile = "console"
	cmdlineFile = "cmdline"
	initrdFile  = "initramfs"
	emptyParcel = "parcel"
)

// staleAfter is when a snapshot of other programs may go: no guest that was about to
// start from it takes so long.
const staleAfter = time.Hour

// parcelModules are what the guest needs to read its parcel.
var parcelModules = []string{"virtio_pci", "virtio_blk"}

// restorable tells whether a guest can start from a snapshot: everything that is fixed at
// boot is as by default, and nobody has asked for a boot. A restored guest that panics before
// its command begins, as one of hundreds did, is booted after all.
func restorable(cfg Config, accel string) bool {
	return accel == accelTCG && os.Getenv("IPE_VM_SNAPSHOT") != "no" &&
		len(cfg.Append) == 0 && len(cfg.Disks) <= wire.DiskSlots && cfg.MemoryMiB == 0 && cfg.CPUs == 0 &&
		!cfg.MOK && !cfg.CountInstructions
}

// runRestored starts the guest from a snapshot, and boots it if its files are too large
// for that.
func runRestored(ctx context.Context, cfg Config, dir string) (Result, error) {
	parcel := filepath.Join(dir, emptyParcel)
	err := writeParcel(ctx, cfg, parcel)
	if errors.Is(err, errLarge) {
		return runCold(ctx, cfg, accelTCG, dir)
	}
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	snapshot, err := findSnapshot(ctx, cfg)
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	before, err := os.ReadFile(filepath.Join(snapshot, consoleFile))
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	args, err := snapshotArgs(cfg, snapshot, parcelArgs(parcel, cfg.Disks), dir)
	if err != nil {
		return Result{}, fmt.Errorf("prepare guest: %w", err)
	}
	now := time.Now()
	_ = os.Chtimes(snapshot, now, now) // keeps it from removeStale
	args = append(args, "-incoming", "exec:cat '"+filepath.Join(snapshot, stateFile)+"'")
	res, err := execute(ctx, cfg, before, args)
	if !errors.Is(err, errNotBegun) {
		return res, err
	}
	again, err := runCold(ctx, cfg, accelTCG, dir)
	again.Console = slices.Concat(res.Console, []byte("vm: the restored guest ended before its command began; this is a booted one\n"), again.Console)
	return again, err
}

// snapshotArgs is QEMU's command line, the same when the state is saved and when it is
// read but for what is on the disks, and the copy of the firmware's variables in dir.
func snapshotArgs(cfg Config, snapshot string, disks []string, dir string) ([]string, error) {
	args := slices.Concat(hardware(cfg), stateArgs, disks)
	if cfg.UEFI {
		firmware, err := firmwareArgs(dir)
		if err != nil {
			return nil, err
		}
		args = append(args, firmware...)
	}
	line, err := os.ReadFile(filepath.Join(snapshot, cmdlineFile))
	if err != nil {
		return nil, err
	}
	return append(args, "-kernel", cfg.Kernel.Image(), "-initrd", filepath.Join(snapshot, initrdFile), "-append", string(line)), nil
}

// found has the directories of the snapshots that this process has used, by kind and
// kernel.
var found sync.Map

// stateArgs make states: without the second, a guest that was stopped when it was saved
// would stay so.
var stateArgs = []string{"-accel", accelTCG, "-global", "migration.store-global-state=off"}

// findSnapshot gives the directory of the snapshot for the configuration, made at the
// first call.
func findSnapshot(ctx context.Context, cfg Config) (string, error) {
	kind := "snapshot-" + cfg.Kernel.Name
	if cfg.UEFI {
		kind += "-uefi"
	}
	if dir, ok := found.Load(kind + cfg.Kernel.Package); ok {
		return dir.(string), nil
	}
	dir, err := lookUpSnapshot(ctx, cfg, kind)
	if err == nil {
		found.Store(kind+cfg.Kernel.Package, dir)
	}
	return dir, err
}

func lookUpSnapshot(ctx context.Context, cfg Config, kind string) (string, error) {
	cache, err := debian.CacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := debian.Lock(cache, kind)
	if err != nil {
		return "", err
	}
	defer unlock()
	init, err := guestInit()
	if err != nil {
		return "", err
	}
	key, err := snapshotKey(ctx, cfg, init)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, kind+"@"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	removeStale(cache, kind)
	if err := makeSnapshot(ctx, cfg, init, dir); err != nil {
		return "", fmt.Errorf("save a booted guest of kernel %s: %w", cfg.Kernel.Name, err)
	}
	return dir, nil
}

// snapshotKey changes with whatever a state depends on. A state does not outlive the
// host's boot, because the guest's clock runs as fast as this machine's.
func snapshotKey(ctx context.Context, cfg Config, init []byte) (string, error) {
	version, err := exec.CommandContext(ctx, qemu, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", qemu, err)
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %q %q %q %s %q ", version, hardware(cfg), stateArgs, cmdline, cfg.Kernel.Package, parcelArgs("", nil))
	sum.Write(init)
	for _, file := range []string{"/proc/sys/kernel/random/boot_id", cfg.Kernel.Image(), firmwareCode, firmwareVars} {
		if err := readInto(sum, file); err != nil && (cfg.UEFI || !errors.Is(err, os.ErrNotExist)) {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// removeStale removes snapshots of the kind that nothing can use any more.
func removeStale(cache, kind string) {
	old, _ := filepath.Glob(filepath.Join(cache, kind+"@*"))
	for _, dir := range old {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > staleAfter {
			_ = os.RemoveAll(dir) // what cannot be removed is in nobody's way
		}
	}
}

// makeSnapshot boots a guest until it waits for its parcel, and saves it.
func makeSnapshot(ctx context.Context, cfg Config, init []byte, dst string) error {
	dir, err := os.MkdirTemp(filepath.Dir(dst), "snapshot.*.tmp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepareTemplate(ctx, cfg, init, dir); err != nil {
		return err
	}
	args, err := snapshotArgs(cfg, dir, parcelArgs(filepath.Join(dir, emptyParcel), nil), dir)
	if err != nil {
		return err
	}
	console, err := saveTemplate(ctx, cfg, dir, args)
	if err != nil {
		return &GuestError{Err: err, Console: console}
	}
	if err := os.WriteFile(filepath.Join(dir, consoleFile), console, 0o600); err != nil {
		return err
	}
	return os.Rename(dir, dst)
}

// prepareTemplate writes what the guest that is to be saved boots.
func prepareTemplate(ctx context.Context, cfg Config, init []byte, dir string) error {
	all, order, err := modulesFor(ctx, cfg.Kernel, parcelModules)
	if err != nil {
		return err
	}
	all.Add(Files{"/init": {Data: init, Mode: 0o755}})
	if err := addSpec(all, wire.Spec{Template: true, Modules: order}); err != nil {
		return err
	}
	err = create(filepath.Join(dir, initrdFile), func(w io.Writer) error { return writeInitramfs(w, all) })
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, cmdlineFile), []byte(commandLine(tscArgs(cfg, accelTCG))), 0o600); err != nil {
		return err
	}
	parcel := filepath.Join(dir, emptyParcel)
	if err := os.WriteFile(parcel, nil, 0o600); err != nil {
		return err
	}
	return os.Truncate(parcel, wire.ParcelDisk)
}

// saveTemplate boots the guest, saves its state beside, and gives what it logged.
func saveTemplate(ctx context.Context, cfg Config, dir string, args []string) ([]byte, error) {
	commands, monitor, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commands.Close()
	defer monitor.Close()
	var answers bytes.Buffer
	change := func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout = commands, &answers
		cmd.Env = append(os.Environ(), stateEnv+"="+filepath.Join(dir, stateFile))
	}
	console, exit, err := converse(ctx, cfg.Timeout, append(args, "-monitor", "stdio"), change, io.Discard, func(m *machine) error {
		err := awaitReady(m.frames)
		if err == nil {
			// A guest that ran on meanwhile once came out with pages that do not fit together.
			_, err = io.WriteString(monitor, "stop\nmigrate \"exec:cat >$"+stateEnv+"\"\nquit\n")
		}
		if err != nil {
			m.cancel()
		}
		return err
	})
	switch {
	case err != nil:
		return console, err
	case exit != nil:
		return console, exit
	case bytes.Contains(answers.Bytes(), []byte("Error")):
		return console, fmt.Errorf("%s: %q", qemu, answers.Bytes())
	}
	return console, nil
}

// awaitReady reads until the guest says that it waits.
func awaitReady(frames io.Reader) error {
	r, err := wire.NewReader(frames)
	if err != nil {
		return ErrNoStatus
	}
	kind, payload, err := r.Next()
	switch {
	case err != nil:
		return ErrNoStatus
	case kind == wire.Fault:
		return fmt.Errorf("%w: %s", ErrSetup, payload)
	case kind != wire.Ready:
		return fmt.Errorf("%w: a frame of kind %d", ErrSetup, kind)
	}
	return nil
}
