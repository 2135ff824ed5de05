package cli

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/cli/ui"
	"github.com/ipe-linux/ipe/policy"
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

// operationCases are files with the operation that judges them, and the one that their
// path alone tells of.
func operationCases(t testing.TB) map[string]struct{ content, of, at string } {
	mod := module(t)
	return map[string]struct{ content, of, at string }{
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

func TestOperationOf(t *testing.T) {
	named := map[string]bool{}
	for at, c := range operationCases(t) {
		named[c.of] = true
		if got := operationOf(at, strings.NewReader(c.content)).String(); got != c.of {
			t.Errorf("%s: %s, want %s", at, got, c.of)
		}
		if got := operationAt(at).String(); got != c.at {
			t.Errorf("%s, by its path: %s, want %s", at, got, c.at)
		}
	}
	if len(named) != len(policy.Ops()) {
		t.Errorf("%d of %d operations are tried", len(named), len(policy.Ops()))
	}
}

// counted counts the bytes that are asked for.
type counted struct {
	io.ReaderAt
	bytes int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// TestDetectionReadsFourBytes: of what is neither ELF nor for EFI, no more is read, and of
// what has no need of its content, nothing.
func TestDetectionReadsFourBytes(t *testing.T) {
	text := strings.NewReader(strings.Repeat("text", 1000))
	for what, c := range map[string]struct {
		want int
		do   func(io.ReaderAt)
	}{
		"ELF":                 {4, func(r io.ReaderAt) { isELF(r) }},
		"operation":           {4, func(r io.ReaderAt) { operationOf("/opt/app/data", r) }},
		"operation, firmware": {0, func(r io.ReaderAt) { operationOf("/lib/firmware/a", r) }},
		"judged":              {4, func(r io.ReaderAt) { judged("/opt/app/data", 0o644, r) }},
		"judged, a program":   {0, func(r io.ReaderAt) { judged("/opt/app/run", 0o755, r) }},
		"judged, a module":    {0, func(r io.ReaderAt) { judged("/opt/app/a.ko.xz", 0o644, r) }},
	} {
		r := &counted{ReaderAt: text}
		if c.do(r); r.bytes != c.want {
			t.Errorf("%s: %d bytes, want %d", what, r.bytes, c.want)
		}
	}
}

// TestRulesByOperation puts all cases into a tree, and asks for rules of it: by content,
// by the paths of a manifest, and of what policies judge alone.
func TestRulesByOperation(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for at, c := range operationCases(t) {
		name := "." + at
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(c.content+"\n"+at), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := Main(append([]string{"fsverity"}, args...), strings.NewReader(""), &out, &errs); code != ui.ExitOK || errs.Len() > 0 {
			t.Fatalf("%v: %d %s", args, code, &errs)
		}
		return out.String()
	}
	ruled := func(text string) map[string]string {
		got, file := map[string]string{}, ""
		for line := range strings.Lines(text) {
			if name, ok := strings.CutPrefix(line, "# "); ok {
				file = "/" + strings.TrimPrefix(strings.TrimSpace(name), "./")
				continue
			}
			got[file] = strings.TrimPrefix(strings.Fields(line)[0], "op=")
		}
		return got
	}
	byContent, byPath, judgedOnly := map[string]string{}, map[string]string{}, map[string]string{}
	for at, c := range operationCases(t) {
		byContent[at], byPath[at] = c.of, c.at
		if c.at != "EXECUTE" || strings.HasPrefix(c.content, elf.ELFMAG) {
			judgedOnly[at] = c.of
		}
	}
	all := ask("rules", "--paths", ".")
	if diff := cmp.Diff(byContent, ruled(all)); diff != "" {
		t.Errorf("by content (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(judgedOnly, ruled(ask("rules", "--paths", "--executable", "."))); diff != "" {
		t.Errorf("with --executable (-want +got):\n%s", diff)
	}
	manifest := filepath.Join(t.TempDir(), "manifest")
	ask("manifest", "-o", manifest, ".")
	if diff := cmp.Diff(byPath, ruled(ask("rules", "--paths", "--manifest", manifest))); diff != "" {
		t.Errorf("by manifest (-want +got):\n%s", diff)
	}
	if got := ruled(ask("rules", "--op=FIRMWARE", "--paths", "boot")); len(got) == 0 || got["/boot/vmlinux"] != "FIRMWARE" {
		t.Errorf("with --op: %v", got)
	}
	// Where a relative path leads is what counts.
	t.Chdir("lib/firmware")
	if got := ruled(ask("rules", "--paths", "dsp.mbn")); got["/dsp.mbn"] != "FIRMWARE" {
		t.Errorf("from within: %v", got)
	}
	if _, err := policy.Parse([]byte("policy_name=all policy_version=1.0.0\nDEFAULT action=DENY\n" + all)); err != nil {
		t.Error(err)
	}
}

// FuzzOperationOf wants an answer that policies can name, whatever the content.
func FuzzOperationOf(f *testing.F) {
	for at, c := range operationCases(f) {
		f.Add(at, []byte(c.content))
	}
	f.Fuzz(func(t *testing.T, at string, content []byte) {
		if op := operationOf(at, bytes.NewReader(content)); !op.Known() {
			t.Errorf("%v", op)
		}
	})
}
