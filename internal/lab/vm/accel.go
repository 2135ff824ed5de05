//go:build linux

package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// Under emulation the guest's CPUs take turns in one thread. With a thread each, one
// can run a stale translation of code that the kernel is patching on another, and
// the kernel dies of a breakpoint that nobody set any more.
const (
	accelKVM = "kvm"
	accelTCG = "tcg,thread=single"
)

// probeTime is how long a guest may take to boot and power off with hardware
// virtualisation; where that works, it takes less than one second.
const probeTime = 5 * time.Second

// accelerator chooses how QEMU runs the guest. That /dev/kvm can be opened proves
// little (under another hypervisor, guests may hang), so it is tried once with a
// real kernel, and the answer kept until the host reboots. $IPE_VM_ACCEL ("kvm"
// or "tcg") overrides it.
func accelerator(ctx context.Context) (string, error) {
	switch forced := os.Getenv("IPE_VM_ACCEL"); forced {
	case "kvm":
		return accelKVM, nil
	case "tcg":
		return accelTCG, nil
	case "":
	default:
		return "", fmt.Errorf("choose accelerator: IPE_VM_ACCEL=%q is neither kvm nor tcg", forced)
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return accelTCG, nil
	}
	f.Close()
	return rememberedProbe(ctx)
}

// rememberedProbe looks up, or finds out and writes down, whether KVM works.
func rememberedProbe(ctx context.Context) (string, error) {
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("choose accelerator: %w", err)
	}
	cache, err := debian.CacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := debian.Lock(cache, "accel")
	if err != nil {
		return "", err
	}
	defer unlock()
	answers := map[string]string{string(bootID) + accelKVM: accelKVM, string(bootID) + accelTCG: accelTCG}
	file := filepath.Join(cache, "accel")
	if known, err := os.ReadFile(file); err == nil && answers[string(known)] != "" {
		return answers[string(known)], nil
	}
	accel, err := probe(ctx)
	if err != nil {
		return "", err
	}
	return accel, os.WriteFile(file, []byte(string(bootID)+accel), 0o644)
}

// probe boots a guest with KVM.
func probe(ctx context.Context) (string, error) {
	k, err := debian.FindKernel(ctx, debian.KernelNames()[0])
	if err != nil {
		return "", err
	}
	_, err = run(ctx, Config{Kernel: k, Timeout: probeTime}, accelKVM)
	if guest := new(GuestError); errors.As(err, &guest) {
		return accelTCG, ctx.Err()
	}
	return accelKVM, err
}
