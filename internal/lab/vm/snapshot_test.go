//go:build linux && !guest

package vm_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/lab/vm"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

const (
	// tellGuest prints all that a guest's command can see of the way it came to be.
	tellGuest = `ls -A / /dev /.testvm /run /tmp /sys/block /sys/bus/pci/drivers /sys/class/net /usr /usr/bin
cat /proc/modules /proc/mounts /proc/swaps /proc/sys/kernel/tainted /sys/kernel/security/lsm
ls -l /init /bin /usr/bin/cat; id; pwd; env | sort; umask
for d in a b; do cat /sys/block/vd$d/size /sys/block/vd$d/ro; head -c 12 /dev/vd$d; echo; done; ls /dev/vd*`
	// tellSelf prints what no two guests have in common.
	tellSelf = "date -u +%Y-%m-%dT%H:%M:%S; cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1"
)

// varying is what an initramfs of another size changes, and where modules come to lie.
var varying = regexp.MustCompile(`size=\d+k,nr_inodes=\d+|0x[0-9a-f]{16}`)

// TestVMRestored: a guest from a snapshot is as one that was booted, has its own randomness
// and the time, and the log of the boot.
func TestVMRestored(t *testing.T) {
	// With the firmware, and without.
	for _, k := range vmtest.Some(t, "6.1", "6.12") {
		t.Run(k.Name, func(t *testing.T) {
			vmtest.SkipNarrowed(t, k)
			cfg := vm.Config{
				Kernel: k, UEFI: k.Name == "6.12", Files: vmtest.HostBinary(t, "sh", "ls", "cat", "id", "env", "sort", "date", "head", "od"),
			}
			t.Setenv("IPE_VM_SNAPSHOT", "")
			begin := time.Now()
			a, b := runGuest(t, cfg, tellSelf), runGuest(t, cfg, tellSelf)
			checkApart(t, begin, a, b)
			cfg.Disks = []vm.Disk{{Path: image(t, "first disk\n")}, {Path: image(t, "second"), ReadOnly: true}}
			restored := runGuest(t, cfg, tellGuest)
			t.Setenv("IPE_VM_SNAPSHOT", "no")
			if diff := cmp.Diff(runGuest(t, cfg, tellGuest), restored); diff != "" {
				t.Errorf("booted (-), restored (+):\n%s", diff)
			}
		})
	}
}

// checkApart compares what two guests of the same snapshot say, which began in this order.
func checkApart(t *testing.T, begin time.Time, guests ...[]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, said := range guests {
		now, err := time.Parse("2006-01-02T15:04:05", said[0])
		if err != nil || now.Before(begin.Truncate(time.Second)) || now.After(time.Now()) {
			t.Errorf("the time is %q, %v; it began at %v", said[0], err, begin)
		}
		for _, s := range said[1:] {
			if s == "" || seen[s] {
				t.Errorf("%q, as in the other guest", s)
			}
			seen[s] = true
		}
	}
}

// runGuest gives the lines of the script's output.
func runGuest(t *testing.T, cfg vm.Config, script string) []string {
	t.Helper()
	cfg.Command = []string{"sh", "-c", "cd /; " + script}
	res, err := vm.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(res.Console), "Linux version "+cfg.Kernel.Release) {
		t.Errorf("the log lacks the boot:\n%s", res.Console)
	}
	text := varying.ReplaceAllString(string(res.Output), "...")
	return strings.Split(strings.TrimSpace(text), "\n")
}
