//go:build guest

package bpf_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// maxVerified bounds what the verifier goes through at a start, in instructions, of
// each program and of all together. Each costs some 10,000 instructions of the
// processor, which is most of a start. The verifier of 6.1 knows fewer states to be
// equal, and follows more of them.
const (
	maxVerifiedOne = 25_000
	maxVerifiedAll = 85_000
)

// TestEngineVerifiedInstructions: nothing that was added to a program makes the
// verifier follow it for each way that leads there.
func TestEngineVerifiedInstructions(t *testing.T) {
	const pins = "/sys/fs/bpf/verified"
	e, err := bpf.Open(bpf.Options{PinDir: pins, KeepCaches: true})
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(pins)
	defer e.Close()
	all := 0
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name, n := verified(t, id)
		if !strings.HasPrefix(name, "ipe_") {
			continue
		}
		t.Logf("%s: %d", name, n)
		if all += n; n > maxVerifiedOne {
			t.Errorf("%s: the verifier went through %d instructions, at most %d", name, n, maxVerifiedOne)
		}
	}
	t.Logf("all: %d", all)
	if all == 0 || all > maxVerifiedAll {
		t.Errorf("the verifier went through %d instructions, at most %d", all, maxVerifiedAll)
	}
}

func verified(t *testing.T, id ebpf.ProgramID) (name string, n int) {
	t.Helper()
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	count, ok := info.VerifiedInstructions()
	if !ok {
		t.Fatal("the kernel does not say what it verified")
	}
	return info.Name, int(count)
}
