// Package offsetstest reads the stored types of kernels, and what is expected of them;
// internal/lab/genbtf has written both.
package offsetstest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
)

// The files of a kernel. Modules have files called after them.
const (
	Kernel   = "vmlinux.btf"
	Expected = "expected.json"
)

// Major stands for the number of device-mapper's devices, which is in no types.
const Major = 253

// Objects are the BPF objects that are loaded on every kernel.
func Objects() []string {
	return []string{"ipe_bpfel.o", "recall/recall_bpfel.o", "recall/survey_bpfel.o", "ftrace/ftrace_bpfel.o"}
}

// Expectation is what the whole type information of a kernel gives.
type Expectation struct {
	// Package is the Debian package and its version.
	Package string
	Release string
	Walk    offsets.Walk
	// AsksFirst and HasInfoTable are what the functions of these names say.
	AsksFirst, HasInfoTable bool
	// Relocations are what programs read of the kernel, by object.
	Relocations map[string][]string
}

// Stored are the types of a kernel in a directory.
type Stored struct{ Dir string }

// Kernel returns the types of the kernel itself.
func (s Stored) Kernel() (*btf.Spec, error) { return btf.LoadSpec(filepath.Join(s.Dir, Kernel)) }

// Module returns those of a module.
func (s Stored) Module(name string) (*btf.Spec, error) {
	return btf.LoadSpec(filepath.Join(s.Dir, name+".btf"))
}

// Expected reads what is expected.
func (s Stored) Expected() (e Expectation, err error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, Expected))
	if err != nil {
		return e, fmt.Errorf("read expectation: %w", err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("read expectation: %w", err)
	}
	return e, nil
}

// Kernels lists those in a directory by their series, "6.1".
func Kernels(dir string) (map[string]Stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list stored kernels: %w", err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("list stored kernels: none in %s: %w", dir, fs.ErrNotExist)
	}
	all := map[string]Stored{}
	for _, e := range entries {
		if e.IsDir() {
			all[e.Name()] = Stored{filepath.Join(dir, e.Name())}
		}
	}
	return all, nil
}
