//go:build !guest

package bpf

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestHelpersAreTried: what the programs call is what doctor tries, all of it and
// nothing else.
func TestHelpersAreTried(t *testing.T) {
	called := map[asm.BuiltinFunc]string{}
	for _, object := range []string{"ipe_bpfel.o", "recall/recall_bpfel.o"} {
		spec, err := ebpf.LoadCollectionSpec(object)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range spec.Programs {
			if p.AttachType == ebpf.AttachTraceIter || p.AttachType == ebpf.AttachTraceFEntry {
				continue // its kind may call other helpers, and enforcing does not need it
			}
			for _, ins := range p.Instructions {
				if ins.IsBuiltinCall() {
					called[asm.BuiltinFunc(ins.Constant)] = name
				}
			}
		}
	}
	tried := abi.Helpers()
	for fn, name := range called {
		if !slices.ContainsFunc(tried, func(h asm.BuiltinFunc) bool { return h.Call().Constant == int64(fn) }) {
			t.Errorf("%s calls %v, which doctor does not try", name, fn)
		}
	}
	for _, h := range tried {
		if _, ok := called[asm.BuiltinFunc(h.Call().Constant)]; !ok {
			t.Errorf("doctor tries %v, which no program calls", h)
		}
	}
}
