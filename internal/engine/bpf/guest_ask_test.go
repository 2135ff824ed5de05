//go:build guest

package bpf_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/policy"
)

// asker makes the running kernel read or take something under any id, by modules made
// from testdata/ask. Few of the ids have anything in a small guest that uses them.
type asker struct {
	image  []byte
	what   uint64 // where ask_what is in the image
	kernel *btf.Spec
}

// newAsker fits the module to the running kernel: its struct module has a size, and a
// place for the name and for the function that is called first.
func newAsker(t *testing.T) *asker {
	t.Helper()
	a := &asker{}
	var err error
	if a.kernel, err = btf.LoadKernelSpec(); err != nil {
		t.Fatal(err)
	}
	if a.image, err = os.ReadFile("/images/ask.ko"); err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(a.image))
	if err != nil {
		t.Fatal(err)
	}
	var module *btf.Struct
	if err := a.kernel.TypeByName("module", &module); err != nil {
		t.Fatal(err)
	}
	offset := map[string]uint64{}
	for _, m := range module.Members {
		offset[m.Name] = uint64(m.Offset.Bytes())
	}
	const section = ".gnu.linkonce.this_module"
	this, relocations := f.Section(section), f.Section(".rela"+section)
	copy(a.image[this.Offset+offset["name"]:], "ipe_ask\x00")
	binary.LittleEndian.PutUint64(a.image[relocations.Offset:], offset["init"])
	a.resize(t, f, section, uint64(module.Size))
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == "ask_what" {
			a.what = f.Sections[s.Section].Offset + s.Value
		}
	}
	return a
}

// resize changes the size of a section in the image's table of sections.
func (a *asker) resize(t *testing.T, f *elf.File, name string, size uint64) {
	t.Helper()
	const tableAt, entrySize, sizeAt = 0x28, 64, 32
	table := binary.LittleEndian.Uint64(a.image[tableAt:])
	for i, s := range f.Sections {
		if s.Name == name {
			if size > s.Size {
				t.Fatalf("struct module has %d bytes, more than the %d that were left for it", size, s.Size)
			}
			binary.LittleEndian.PutUint64(a.image[table+uint64(i)*entrySize+sizeAt:], size)
		}
	}
}

// id is the number that the running kernel gives to one of its ids.
func (a *asker) id(t *testing.T, enum, name string) int {
	t.Helper()
	var e *btf.Enum
	if err := a.kernel.TypeByName(enum, &e); err != nil {
		t.Fatal(err)
	}
	for _, v := range e.Values {
		if v.Name == name {
			return int(v.Value)
		}
	}
	t.Fatalf("enum %s has no %s", enum, name)
	return 0
}

// ask loads a module that asks; it is nil if the kernel did what was asked for.
func (a *asker) ask(id int, load bool, path string) error {
	image := bytes.Clone(a.image)
	binary.LittleEndian.PutUint32(image[a.what:], uint32(id))
	if load {
		image[a.what+4] = 1
	}
	copy(image[a.what+8:], path+"\x00")
	f, err := os.CreateTemp("", "ask")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(image); err != nil {
		return err
	}
	r, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	defer r.Close()
	f.Close() // nobody may be writing
	return otherwise(unix.FinitModule(int(r.Fd()), "", unix.MODULE_INIT_IGNORE_MODVERSIONS|unix.MODULE_INIT_IGNORE_VERMAGIC), unix.ECANCELED)
}

// askedReads are the operations with the ids that stand for them, reads and loads.
func askedReads(t *testing.T) (all []read) {
	t.Helper()
	a := newAsker(t)
	for op, name := range map[policy.Op]string{
		policy.OpFirmware: "FIRMWARE", policy.OpKexecImage: "KEXEC_IMAGE", policy.OpKexecInitramfs: "KEXEC_INITRAMFS",
		policy.OpPolicy: "POLICY", policy.OpX509Cert: "X509_CERTIFICATE",
	} {
		id := a.id(t, "kernel_read_file_id", "READING_"+name)
		all = append(all, read{"read as " + strings.ToLower(name), op, eval.HookKernelRead, func(file string) error { return a.ask(id, false, file) }})
		load := a.id(t, "kernel_load_data_id", "LOADING_"+name)
		all = append(all, read{"load as " + strings.ToLower(name), op, eval.HookKernelLoad, func(string) error { return a.ask(load, true, "") }})
	}
	return all
}

// TestReadsOfUnknownKind: an id that no operation stands for is decided by the global
// default, whatever is said of the operations.
func TestReadsOfUnknownKind(t *testing.T) {
	e := open(t)
	a := newAsker(t)
	rec := newRecorder(t, e)
	for _, action := range []string{"ALLOW", "DENY"} {
		statements := []string{"DEFAULT action=" + action, "op=EXECUTE action=ALLOW", "op=KMODULE action=ALLOW"}
		for _, op := range []string{"FIRMWARE", "KEXEC_IMAGE", "KEXEC_INITRAMFS", "POLICY", "X509_CERT"} {
			statements = append(statements, fmt.Sprintf("DEFAULT op=%s action=%s", op, map[string]string{"ALLOW": "DENY", "DENY": "ALLOW"}[action]))
		}
		p := activate(t, e, auditing, statements...)
		event := eval.Event{Op: policy.OpUnknown, Hook: eval.HookKernelRead, Evidence: eval.Evidence{BootVerified: true}}
		checkRead(t, "read, "+action, p.Policy, event, func() error { return a.ask(0, false, "/images/ask.ko") }, rec)
		event = eval.Event{Op: policy.OpUnknown, Hook: eval.HookKernelLoad}
		checkRead(t, "load, "+action, p.Policy, event, func() error { return a.ask(0, true, "") }, rec)
	}
}
