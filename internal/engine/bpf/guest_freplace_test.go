//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestEngineFunctionsCannotBeReplaced: an extension program, "freplace", takes the place
// of no function of ours. The kernel lets it replace a global one, and some of ours are
// global, or its verifier would follow them at each call. It needs the same arguments,
// and cannot have one that is a pointer to a number.
func TestEngineFunctionsCannotBeReplaced(t *testing.T) {
	const pins = "/sys/fs/bpf/freplace"
	profile := engine.Profile{HonestFacts: true, Rules: rulesWith(t, strict.Enforce)}
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: profile})
	defer os.RemoveAll(pins)
	defer e.Close()
	tried := map[string]bool{}
	var err error
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		replaceAll(t, id, tried)
	}
	if len(tried) < 40 {
		t.Errorf("tried to replace %d functions, want those of all programs", len(tried))
	}
}

// replaceAll tries to replace each function of a program that no other had.
func replaceAll(t *testing.T, id ebpf.ProgramID, tried map[string]bool) {
	t.Helper()
	p, err := ebpf.NewProgramFromID(id)
	check0(t, err)
	defer p.Close()
	info, err := p.Info()
	check0(t, err)
	if !strings.HasPrefix(info.Name, "ipe_") {
		return
	}
	types, ok := info.BTFID()
	if !ok {
		t.Fatalf("%s: no types", info.Name)
	}
	h, err := btf.NewHandleFromID(types)
	check0(t, err)
	defer h.Close()
	spec, err := h.Spec(nil)
	check0(t, err)
	for typ, err := range spec.All() {
		check0(t, err)
		if f, ok := typ.(*btf.Func); ok && !tried[f.Name] {
			tried[f.Name] = true
			replace(t, p, info.Name, f)
		}
	}
}

// replace tries to have a function say that all is well.
func replace(t *testing.T, p *ebpf.Program, name string, f *btf.Func) {
	t.Helper()
	own := &btf.Func{Name: "ours", Type: f.Type, Linkage: btf.GlobalFunc}
	x, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "ours", Type: ebpf.Extension, AttachTo: f.Name, AttachTarget: p, License: "GPL",
		Instructions: asm.Instructions{
			btf.WithFuncMetadata(asm.Mov.Imm(asm.R0, 0), own).WithSymbol("ours"),
			asm.Return(),
		},
	})
	if err == nil {
		x.Close()
		t.Errorf("%s of %s can be replaced", f.Name, name)
		return
	}
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		t.Errorf("%s of %s: %v, want a refusal of the verifier", f.Name, name, err)
		return
	}
}
