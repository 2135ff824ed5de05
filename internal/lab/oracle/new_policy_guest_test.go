//go:build guest

package oracle_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/conformance"
)

const (
	root      = "/sys/kernel/security/ipe"
	newPolicy = root + "/new_policy"
)

// untried are the rows that no running kernel can be asked, each with its reason.
var untried = map[int]string{
	162: "concerns the policy compiled into the kernel, which is read at boot only",
}

func TestNewPolicy(t *testing.T) {
	compared, rows := 0, map[int]bool{}
	for _, c := range conformance.ParseCases() {
		if !c.Live {
			continue
		}
		rows[c.Row] = true
		compared++
		t.Run(c.ID, func(t *testing.T) { ask(t, c) })
	}
	for row := 1; row <= conformance.LastRow; row++ {
		if reason, ok := untried[row]; rows[row] == ok {
			t.Errorf("row %d: put to the kernel: %v; reason not to: %q", row, rows[row], reason)
		}
	}
	t.Logf("%d cases of %d rows were put to the kernel", compared, conformance.LastRow-len(untried))
}

// ask writes one signed policy and compares the kernel's answer; a policy that it
// took is compared and deleted, so that the next one finds nothing.
func ask(t *testing.T, c conformance.ParseCase) {
	message, err := os.ReadFile(filepath.Join("/cases", c.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer deleteAll(t)
	got := put(newPolicy, message)
	if got != c.Load {
		t.Fatalf("the kernel says %s, the table %s (%s): %.200q", got, c.Load, c.Why, c.Text)
	}
	if got == "OK" {
		compareLoaded(t, c)
	}
}

func compareLoaded(t *testing.T, c conformance.ParseCase) {
	dir := filepath.Join(root, "policies", c.Name)
	for file, want := range map[string]string{"name": c.Name, "version": c.Version, "policy": string(c.Text)} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Error(err)
		} else if strings.TrimSuffix(string(got), "\n") != strings.TrimSuffix(want, "\n") {
			t.Errorf("%s is %.200q, want %.200q", file, got, want)
		}
	}
}

func deleteAll(t *testing.T) {
	loaded, err := os.ReadDir(filepath.Join(root, "policies"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range loaded {
		if got := put(filepath.Join(root, "policies", d.Name(), "delete"), []byte("1")); got != "OK" {
			t.Errorf("delete %q: %s", d.Name(), got)
		}
	}
}

// put does one write and names its errno.
func put(file string, data []byte) string {
	fd, err := unix.Open(file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		var n int
		if n, err = unix.Write(fd, data); err == nil && n != len(data) {
			return fmt.Sprintf("%d of %d bytes", n, len(data))
		}
	}
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return unix.ErrnoName(errno)
	}
	return "OK"
}
