//go:build linux && !guest

package keyring_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestVMAsTheKernel puts messages to the kernel's IPE and, through us, to the kernel's
// keyrings. 6.1 has no IPE; it must answer as 6.12 does.
func TestVMAsTheKernel(t *testing.T) {
	t.Parallel()
	list := messages(t)
	for _, k := range vmtest.Kernels(t) {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			vmtest.RunPackage(t, vm.Config{Kernel: k, UEFI: true, Files: files(t, k.Name, list)}, "-test.run=^TestKernel")
		})
	}
}

// TestVMRefusesKernel: where programs are never called nobody can be asked.
func TestVMRefusesKernel(t *testing.T) {
	t.Parallel()
	vmtest.RunPackage(t, vm.Config{Kernel: vmtest.Kernel(t, "6.1"), Append: []string{"lsm=capability,yama"}}, "-test.run=^TestRefused")
}

// files are the messages by number, with an index of names and answers.
func files(t *testing.T, kernel string, list []message) vm.Files {
	t.Helper()
	var index []map[string]string
	all := vm.Files{}
	for i, m := range list {
		want := m.want
		if kernel == "6.1" && m.old != "" {
			want = m.old
		}
		file := fmt.Sprintf("/messages/%d", i)
		all[file] = vm.File{Data: m.data}
		index = append(index, map[string]string{"name": m.name, "file": file, "want": want})
	}
	data, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	all["/messages/index"] = vm.File{Data: data}
	return all
}
