package vm

import (
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
)

// What a machine with an enrolled owner's key boots by: Debian's shim, and the stub
// that makes one program for the firmware of kernel, command line and initramfs.
const (
	shim = "/usr/lib/shim/shimx64.efi"
	stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
)

// mokArgs gives QEMU a disk from which the firmware boots shim, and shim the kernel.
// The firmware's variables hold PlatformKey's certificate as that of the machine's
// owner, too; shim hands it on, and the kernel takes it into its keyring .machine,
// which is part of the secondary one. Only so can a kernel of a distribution be given
// a key for dm-verity, if it does not look at the platform keyring.
func mokArgs(ctx context.Context, cfg Config, initrd, dir string) ([]string, error) {
	args, err := ownedFirmware(ctx, cfg, initrd, dir)
	if err != nil {
		return nil, fmt.Errorf("prepare shim: %w", err)
	}
	return args, nil
}

func ownedFirmware(ctx context.Context, cfg Config, initrd, dir string) ([]string, error) {
	args, err := firmwareArgs(dir)
	if err != nil {
		return nil, err
	}
	if err := enroll(filepath.Join(dir, varsFile)); err != nil {
		return nil, err
	}
	if err := unifiedImage(ctx, cfg, initrd, dir); err != nil {
		return nil, err
	}
	if err := signImages(ctx, dir); err != nil {
		return nil, err
	}
	if err := systemPartition(ctx, dir); err != nil {
		return nil, err
	}
	// On the chipset's own controller, so that no other disk changes its name.
	return append(args, "-drive", "if=none,id=esp,format=raw,file="+escape(filepath.Join(dir, "esp")),
		"-device", "ide-hd,drive=esp,bus=ide.0,bootindex=0"), nil
}

// enroll puts the certificate into the owner's list, as mokutil and a reboot would.
func enroll(vars string) error {
	text, err := os.ReadFile(platformCert)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s: no certificate", platformCert)
	}
	data, err := os.ReadFile(vars)
	if err != nil {
		return err
	}
	if data, err = addVariable(data, shimGUID, "MokList", signatureList(shimGUID, block.Bytes)); err != nil {
		return err
	}
	return os.WriteFile(vars, data, 0o600)
}

// unifiedImage makes one program of stub, kernel, command line and initramfs. The
// sections must not overlap where they are loaded.
func unifiedImage(ctx context.Context, cfg Config, initrd, dir string) error {
	line := filepath.Join(dir, "cmdline")
	if err := os.WriteFile(line, []byte(commandLine(cfg.Append)), 0o600); err != nil {
		return err
	}
	const first, align = 1 << 24, 1 << 20
	at := int64(first)
	var args []string
	for _, s := range []struct{ name, file string }{{".cmdline", line}, {".linux", cfg.Kernel.Image()}, {".initrd", initrd}} {
		st, err := os.Stat(s.file)
		if err != nil {
			return err
		}
		args = append(args, "--add-section", s.name+"="+s.file, "--change-section-vma", s.name+"="+strconv.FormatInt(at, 10))
		at = (at + st.Size() + align) &^ (align - 1)
	}
	_, err := debian.Output(ctx, dir, "objcopy", append(args, stub, filepath.Join(dir, "linux.efi"))...)
	return err
}

// signImages signs what the firmware, which has the same key as its db, starts.
func signImages(ctx context.Context, dir string) error {
	cert, key, err := PlatformKey(ctx, dir)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{shim: "bootx64.efi", filepath.Join(dir, "linux.efi"): "grubx64.efi"} {
		if _, err := debian.Output(ctx, dir, "sbsign", "--key", key, "--cert", cert, "--output", to, from); err != nil {
			return err
		}
	}
	return nil
}

// systemPartition makes the disk: one FAT file system, as on removable media.
func systemPartition(ctx context.Context, dir string) error {
	st, err := os.Stat(filepath.Join(dir, "grubx64.efi"))
	if err != nil {
		return err
	}
	const room = 64 << 20
	esp := filepath.Join(dir, "esp")
	if err := os.WriteFile(esp, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(esp, st.Size()+room); err != nil {
		return err
	}
	for _, c := range [][]string{
		{"mformat", "-i", "esp", "-F", "::"},
		{"mmd", "-i", "esp", "::/EFI", "::/EFI/BOOT"},
		{"mcopy", "-i", "esp", "bootx64.efi", "grubx64.efi", "::/EFI/BOOT"},
	} {
		if _, err := debian.Output(ctx, dir, c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}
