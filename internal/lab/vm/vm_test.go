//go:build !guest

package vm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

func TestVMGuest(t *testing.T) {
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			first, second := image(t, "first disk"), image(t, "second disk")
			vmtest.RunPackage(t, vm.Config{
				Kernel:  k,
				Modules: []string{"dm-verity", "loop max_loop=11", "squashfs"},
				Env:     []string{"TESTVM_RELEASE=" + k.Release},
				Append:  []string{"testvm.mark=1", "lsm=capability,bpf"},
				Disks:   []vm.Disk{{Path: first}, {Path: second, ReadOnly: true}},
				Files: vm.Files{
					"/etc/target": {Data: []byte("by a link")},
					"/etc/link":   {Link: "target"},
					"/bin/tool":   {Data: []byte("x"), Mode: 0o750},
				},
			})
			if got := read(t, first); !bytes.HasPrefix(got, []byte("WRITTEN")) {
				t.Errorf("the guest's write did not reach the image: %.20q", got)
			}
		})
	}
}

// image makes a disk image of one MiB that begins with the text.
func image(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk,with a comma")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<20); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVMCommands(t *testing.T) {
	k := vmtest.Kernel(t, "6.1")
	tools := vmtest.HostBinary(t, "sh")
	for name, tt := range map[string]struct {
		command        []string
		code           int
		stdout, stderr string
	}{
		"exit status":   {[]string{"sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\n", "err\n"},
		"signal":        {[]string{"sh", "-c", "kill -9 $$"}, 128 + 9, "", ""},
		"no such file":  {[]string{"absent"}, 126, "", "guestinit: start absent: executable file not found in $PATH\n"},
		"nothing to do": {nil, 0, "", ""},
		// An orphan keeps the output open; the guest ends nonetheless.
		"orphan": {[]string{"sh", "-c", "(while :; do :; done) & echo parent"}, 0, "parent\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var live bytes.Buffer
			res, err := vm.Run(t.Context(), vm.Config{Kernel: k, Command: tt.command, Files: tools, Output: &live})
			if err != nil {
				t.Fatal(err)
			}
			if res.ExitCode != tt.code || string(res.Stdout) != tt.stdout || string(res.Stderr) != tt.stderr {
				t.Errorf("status %d, stdout %q, stderr %q", res.ExitCode, res.Stdout, res.Stderr)
			}
			if !bytes.Equal(live.Bytes(), res.Output) {
				t.Errorf("live output %q, output %q", live.Bytes(), res.Output)
			}
			if !bytes.Contains(res.Console, []byte("Linux version "+k.Release)) {
				t.Errorf("no kernel log on the console:\n%s", res.Console)
			}
		})
	}
}

// TestVMMachineOwner: a key that the owner enrolled is among the secondary keys.
func TestVMMachineOwner(t *testing.T) {
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			res, err := vm.Run(t.Context(), vm.Config{
				Kernel: k, MOK: true, Files: vmtest.HostBinary(t, "sh", "cat"), Command: []string{"cat", "/proc/keys", "/proc/cmdline"},
				Append: []string{"quux"},
			})
			if err != nil {
				t.Fatal(err)
			}
			// Debian's shim brings Debian's own key, too.
			if !bytes.Contains(res.Stdout, []byte("keyring   .machine: 2\n")) || !bytes.Contains(res.Stdout, []byte(" quux")) {
				t.Errorf("%s\n%s", res.Stdout, res.Console)
			}
		})
	}
}

func TestVMCountedInstructionsRepeat(t *testing.T) {
	cfg := vm.Config{
		Kernel: vmtest.Kernel(t, "6.1"), CountInstructions: true, Files: vmtest.HostBinary(t, "sh"),
		Command: []string{"sh", "-c", "read a b </sys/devices/system/cpu/online; echo $a; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; read a b </proc/uptime; echo $a"},
	}
	var uptime []float64
	for range 2 {
		res, err := vm.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var cpus string
		var seconds float64
		if _, err := fmt.Sscan(string(res.Stdout), &cpus, &seconds); err != nil || cpus != "0" {
			t.Fatalf("output %q: %v", res.Output, err)
		}
		uptime = append(uptime, seconds)
	}
	t.Logf("seconds of a billion instructions since boot: %v", uptime)
	if ratio := uptime[0] / uptime[1]; ratio < 0.8 || ratio > 1.25 {
		t.Errorf("two runs differ: %v", uptime)
	}
}

func TestVMLargeOutputIsWhole(t *testing.T) {
	const lines = 20_000
	res, err := vm.Run(t.Context(), vm.Config{
		Kernel: vmtest.Kernel(t, "6.12"), Files: vmtest.HostBinary(t, "seq"), Command: []string{"seq", "20000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(res.Stdout))
	if len(got) != lines || got[lines-1] != "20000" {
		t.Fatalf("%d lines came", len(got))
	}
}

func TestVMGuestThatFails(t *testing.T) {
	k := vmtest.Kernel(t, "6.1")
	for name, tt := range map[string]struct {
		cfg     vm.Config
		want    error
		console string
	}{
		"hang":         {vm.Config{Command: []string{"sh", "-c", "while :; do :; done"}, Timeout: 20 * time.Second}, vm.ErrTimeout, "Run /init as init process"},
		"panic":        {vm.Config{Command: []string{"sh", "-c", "echo c >/proc/sysrq-trigger"}}, vm.ErrNoStatus, "Kernel panic"},
		"kernel's own": {vm.Config{Append: []string{"rdinit=/absent", "root=/dev/absent"}}, vm.ErrNoStatus, "Unable to mount root fs"},
		"bad module":   {vm.Config{Modules: []string{"loop max_loop=x"}}, vm.ErrSetup, "Linux version"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.cfg.Kernel, tt.cfg.Files = k, vmtest.HostBinary(t, "sh", "sleep")
			_, err := vm.Run(t.Context(), tt.cfg)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			guest, ok := errors.AsType[*vm.GuestError](err)
			if !ok || !bytes.Contains(guest.Console, []byte(tt.console)) {
				t.Fatalf("the console is without %q: %v", tt.console, err)
			}
			if name == "hang" && !strings.Contains(err.Error(), tt.console) {
				t.Errorf("the message is without the console: %v", err)
			}
		})
	}
}

func TestVMCancelledContextEndsTheGuest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	cfg := vm.Config{
		Kernel: vmtest.Kernel(t, "6.1"), Files: vmtest.HostBinary(t, "sleep"), Command: []string{"sleep", "1000"},
	}
	if _, err := vm.Run(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestVMRefusesWhatCannotBeBuilt(t *testing.T) {
	k := vmtest.Kernel(t, "6.12")
	for name, cfg := range map[string]vm.Config{
		"unknown module": {Modules: []string{"no-such-module"}},
		"relative path":  {Files: vm.Files{"etc/passwd": {}}},
		"missing file":   {Files: vm.Files{"/etc/passwd": {Host: "testdata/absent"}}},
	} {
		cfg.Kernel = k
		if _, err := vm.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s: a guest was run", name)
		}
	}
	if _, err := debian.FindKernel(t.Context(), "5.4"); !errors.Is(err, debian.ErrUnknownKernel) {
		t.Errorf("unknown kernel: %v", err)
	}
	if _, err := vm.HostBinary("no-such-program"); err == nil {
		t.Error("a program that does not exist was found")
	}
}
