package walk

import (
	"bytes"
	"debug/elf"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/ipe-linux/ipe/policy"
)

// What the kernel itself reads lies in these places, by file-hierarchy(7), the kernel's
// Documentation/driver-api/firmware/fw_search_path.rst, its CONFIG_IMA_X509_PATH and
// CONFIG_EVM_X509_PATH, and systemd, which has the kernel read IMA's policy. They count
// below any directory, since trees are often those of an image.
const (
	firmwarePlace = "/lib/firmware/"
	modulesPlace  = "/lib/modules/"
	bootPlace     = "/boot/"
	imaPolicy     = "/etc/ima/ima-policy"
	keysPlace     = "/etc/keys/"
)

// Locate makes a path absolute, so that it says where the file is. Below another root it
// is so already.
func (p Place) Locate(name string) string {
	if p.below == nil {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
	}
	return path.Clean("/" + name)
}

// OperationAt says which operation judges a file, by its absolute path alone; OpExecute
// if the path says nothing.
func OperationAt(at string) policy.Op {
	name := path.Base(at)
	begins := func(words ...string) bool {
		for _, w := range words {
			if strings.HasPrefix(name, w) {
				return true
			}
		}
		return false
	}
	switch {
	case strings.Contains(at, firmwarePlace):
		return policy.OpFirmware
	case strings.HasSuffix(name, ".ko") || compressedModule(name) != "":
		return policy.OpKModule
	case strings.Contains(at, bootPlace) || strings.Contains(at, modulesPlace):
		switch {
		case begins("vmlinuz", "vmlinux", "bzImage", "Image"):
			return policy.OpKexecImage
		case begins("initrd", "initramfs"):
			return policy.OpKexecInitramfs
		}
	case strings.HasSuffix(at, imaPolicy):
		return policy.OpPolicy
	case strings.HasSuffix(path.Dir(at)+"/", keysPlace) && begins("x509_") && strings.HasSuffix(name, ".der"):
		return policy.OpX509Cert
	}
	return policy.OpExecute
}

// compressedModule returns what a compressed kernel module of that name begins with, ""
// if it is none: gzip (RFC 1952), xz (its file format, 2.1.1.1), Zstandard (RFC 8878).
func compressedModule(name string) (magic string) {
	switch {
	case strings.HasSuffix(name, ".ko.gz"):
		return "\x1f\x8b"
	case strings.HasSuffix(name, ".ko.xz"):
		return "\xfd7zX"
	case strings.HasSuffix(name, ".ko.zst"):
		return "\x28\xb5\x2f\xfd"
	}
	return ""
}

// OperationOf says which operation judges a file: by what it is, where its content says
// that, otherwise by its absolute path. Of most files it reads magicSize bytes.
func OperationOf(at string, f io.ReaderAt) policy.Op {
	byPath := OperationAt(at)
	if byPath == policy.OpFirmware { // has any form, even that of a program
		return byPath
	}
	magic := magicOf(f)
	switch compressed := compressedModule(path.Base(at)); {
	case magic == elf.ELFMAG && isModule(f):
		return policy.OpKModule
	case magic == elf.ELFMAG && byPath != policy.OpKModule:
		return byPath
	case strings.HasPrefix(magic, "MZ") && isKernel(f):
		return policy.OpKexecImage
	case byPath != policy.OpKModule, compressed != "" && strings.HasPrefix(magic, compressed):
		return byPath
	}
	return policy.OpExecute // a module by its name, and not by its content
}

// magicSize is how many bytes say what a file may be.
const magicSize = 4

// magicOf returns the first bytes of a file, fewer if there are no more.
func magicOf(f io.ReaderAt) string {
	var magic [magicSize]byte
	n, _ := f.ReadAt(magic[:], 0)
	return string(magic[:n])
}

// isELF reports whether a file begins as programs, libraries and kernel modules do.
func isELF(f io.ReaderAt) bool { return magicOf(f) == elf.ELFMAG }

// isModule reports whether an ELF file is a kernel module: what is to be linked, with the
// sections without which the kernel takes none (kernel/module/main.c).
func isModule(f io.ReaderAt) bool {
	var head [18]byte
	if n, _ := f.ReadAt(head[:], 0); n < len(head) {
		return false
	}
	// Of either byte order.
	if kind := head[16] | head[17]; head[16] != 0 && head[17] != 0 || elf.Type(kind) != elf.ET_REL {
		return false
	}
	e, err := elf.NewFile(f)
	return err == nil && e.Section(".modinfo") != nil && e.Section(".gnu.linkonce.this_module") != nil
}

// isKernel reports whether a file that begins as programs for EFI do is a kernel: by the
// boot protocols of x86 (Documentation/arch/x86/boot.rst), arm64 and riscv
// (booting.rst, boot-image-header.rst), and by that of compressed images for EFI
// (drivers/firmware/efi/libstub/zboot-header.S).
func isKernel(f io.ReaderAt) bool {
	var head [0x206]byte
	if n, _ := f.ReadAt(head[:], 0); n < len(head) {
		return false
	}
	at := func(offset int, magic string) bool { return bytes.HasPrefix(head[offset:], []byte(magic)) }
	return at(0x1fe, "\x55\xaaHdrS") || at(0x38, "ARM\x64") || at(0x38, "RSC\x05") || at(4, "zimg")
}
