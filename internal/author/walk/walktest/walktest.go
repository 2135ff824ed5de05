// Package walktest is files that each operation of a policy judges, for tests of walks and of
// what is made of them.
package walktest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// elfFile makes an ELF file of a type with empty sections of these names.
func elfFile(t testing.TB, order binary.ByteOrder, kind elf.Type, sections ...string) string {
	t.Helper()
	strs := "\x00.shstrtab\x00"
	headers := []elf.Section64{{}, {Name: 1, Type: uint32(elf.SHT_STRTAB)}}
	for _, s := range sections {
		headers = append(headers, elf.Section64{Name: uint32(len(strs)), Type: uint32(elf.SHT_PROGBITS)})
		strs += s + "\x00"
	}
	const head = 64
	headers[1].Off, headers[1].Size = head, uint64(len(strs))
	h := elf.Header64{Type: uint16(kind), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: head,
		Shoff: head + uint64(len(strs)), Shentsize: 64, Shnum: uint16(len(headers)), Shstrndx: 1}
	data := elf.ELFDATA2LSB
	if order == binary.BigEndian {
		data = elf.ELFDATA2MSB
	}
	copy(h.Ident[:], elf.ELFMAG+string([]byte{byte(elf.ELFCLASS64), byte(data), 1}))
	var b bytes.Buffer
	for _, part := range []any{h, []byte(strs), headers} {
		if err := binary.Write(&b, order, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func module(t testing.TB) string {
	return elfFile(t, binary.LittleEndian, elf.ET_REL, ".modinfo", ".gnu.linkonce.this_module")
}

// image has a magic at an offset, behind that of EFI programs.
func image(offset int, magic string) string {
	b := make([]byte, 1024)
	copy(b, "MZ")
	copy(b[offset:], magic)
	return string(b)
}

// Case is a file with the operation that judges it, and the one that its path alone tells
// of.
type Case struct{ Content, Of, At string }

// Cases are files of all kinds, by their absolute paths.
func Cases(t testing.TB) map[string]Case {
	t.Helper()
	mod := module(t)
	return map[string]Case{
		"/opt/app/run":                       {"#!/bin/sh\n", "EXECUTE", "EXECUTE"},
		"/opt/app/empty":                     {"", "EXECUTE", "EXECUTE"},
		"/opt/app/program":                   {elfFile(t, binary.LittleEndian, elf.ET_DYN), "EXECUTE", "EXECUTE"},
		"/opt/app/object.o":                  {elfFile(t, binary.LittleEndian, elf.ET_REL, ".text"), "EXECUTE", "EXECUTE"},
		"/opt/app/short":                     {"\x7fELF", "EXECUTE", "EXECUTE"},
		"/opt/app/driver":                    {mod, "KMODULE", "EXECUTE"},
		"/opt/app/driver.ko":                 {mod + "~Module signature appended~\n", "KMODULE", "KMODULE"},
		"/opt/app/big.ko":                    {elfFile(t, binary.BigEndian, elf.ET_REL, ".gnu.linkonce.this_module", ".modinfo"), "KMODULE", "KMODULE"},
		"/opt/app/none.ko":                   {elfFile(t, binary.LittleEndian, elf.ET_DYN), "EXECUTE", "KMODULE"},
		"/opt/app/text.ko":                   {"text", "EXECUTE", "KMODULE"},
		"/lib/modules/6.12/a.ko.xz":          {"\xfd7zXZ\x00...", "KMODULE", "KMODULE"},
		"/lib/modules/6.12/a.ko.gz":          {"\x1f\x8b\x08...", "KMODULE", "KMODULE"},
		"/lib/modules/6.12/a.ko.zst":         {"\x28\xb5\x2f\xfd...", "KMODULE", "KMODULE"},
		"/lib/modules/6.12/b.ko.zst":         {"\xfd7zXZ\x00...", "EXECUTE", "KMODULE"},
		"/lib/modules/6.12/modules.dep":      {"a.ko:\n", "EXECUTE", "EXECUTE"},
		"/lib/modules/6.12/vmlinuz":          {image(0x1fe, "\x55\xaaHdrS"), "KEXEC_IMAGE", "KEXEC_IMAGE"},
		"/mnt/usr/lib/modules/6.12/initrd":   {"070701", "KEXEC_INITRAMFS", "KEXEC_INITRAMFS"},
		"/mnt/usr/lib/firmware/a/b.bin.xz":   {"\xfd7zXZ\x00", "FIRMWARE", "FIRMWARE"},
		"/lib/firmware/dsp.mbn":              {elfFile(t, binary.LittleEndian, elf.ET_EXEC), "FIRMWARE", "FIRMWARE"},
		"/lib/firmware.txt":                  {"text", "EXECUTE", "EXECUTE"},
		"/boot/vmlinuz-6.12":                 {"not known", "KEXEC_IMAGE", "KEXEC_IMAGE"},
		"/boot/vmlinux":                      {elfFile(t, binary.LittleEndian, elf.ET_EXEC), "KEXEC_IMAGE", "KEXEC_IMAGE"},
		"/boot/initrd.img-6.12":              {"070701", "KEXEC_INITRAMFS", "KEXEC_INITRAMFS"},
		"/boot/initramfs-6.12.img":           {"\x28\xb5\x2f\xfd", "KEXEC_INITRAMFS", "KEXEC_INITRAMFS"},
		"/boot/grub/grub.cfg":                {"text", "EXECUTE", "EXECUTE"},
		"/srv/x86":                           {image(0x1fe, "\x55\xaaHdrS"), "KEXEC_IMAGE", "EXECUTE"},
		"/srv/arm64":                         {image(0x38, "ARM\x64"), "KEXEC_IMAGE", "EXECUTE"},
		"/srv/riscv":                         {image(0x38, "RSC\x05"), "KEXEC_IMAGE", "EXECUTE"},
		"/srv/zboot":                         {image(4, "zimg"), "KEXEC_IMAGE", "EXECUTE"},
		"/srv/tool.exe":                      {image(0x80, "PE"), "EXECUTE", "EXECUTE"},
		"/srv/tiny.exe":                      {"MZ", "EXECUTE", "EXECUTE"},
		"/etc/ima/ima-policy":                {"measure func=BPRM_CHECK\n", "POLICY", "POLICY"},
		"/mnt/etc/keys/x509_ima.der":         {"0\x82", "X509_CERT", "X509_CERT"},
		"/etc/keys/x509_ima.pem":             {"-----BEGIN", "EXECUTE", "EXECUTE"},
		"/home/etc/keys/deeper/x509_ima.der": {"0\x82", "EXECUTE", "EXECUTE"},
	}
}
