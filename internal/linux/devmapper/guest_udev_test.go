//go:build linux && guest

package devmapper_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
)

// udev runs udevadm, or as "systemd-udevd" the daemon.
func udev(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(os.Getenv("UDEVADM"), args...)
	cmd.Args[0] = name
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// settle waits until udev has nothing to do. The daemon drops who asks while it is about
// to listen to the next one, as it did once in some hundred times on a slow machine; so
// it is asked again.
func settle(t *testing.T) {
	t.Helper()
	err := await.NoError(func() error {
		cmd := exec.Command(os.Getenv("UDEVADM"), "settle")
		cmd.Args[0] = "udevadm"
		out, err := cmd.CombinedOutput()
		if err != nil && !bytes.Contains(out, []byte("Broken pipe")) {
			t.Fatalf("udevadm settle: %v\n%s", err, out)
		}
		return err
	})
	if err != nil {
		t.Fatalf("udev does not answer: %v", err)
	}
}

// TestUdev opens and closes while udev, which makes and removes the same nodes, looks
// at each device that appears.
func TestUdev(t *testing.T) {
	v := plainVolume(t, source(t), 100)
	udev(t, "systemd-udevd", "--daemon")
	udev(t, "udevadm", "control", "--ping")
	// Here it waits for udev, by semaphores.
	veritysetup := func(args ...string) {
		t.Helper()
		cmd := exec.Command("veritysetup", args...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("veritysetup %v: %v\n%s", args, err, out)
		}
	}
	for i := range 12 {
		ours, closedByUs := i%2 == 0, i%4 < 2
		// veritysetup leaves the node to udev, which must have seen the device by then; it
		// waits for that itself when it opens one, and ours does not.
		wait := i%3 == 0 || ours && !closedByUs
		if ours {
			run(t, v.ours("v")...)
		} else {
			veritysetup(v.open("v")...)
		}
		same(t, "v", v.content)
		if wait {
			settle(t)
			known(t, "v")
		}
		if closedByUs {
			run(t, "dmverity", "close", "v")
		} else {
			veritysetup("close", "v")
		}
		if wait {
			settle(t)
		}
		nothingLeft(t)
	}
	udev(t, "udevadm", "control", "--exit")
}

// known wants udev to have taken a device in, and to have the node be its link.
func known(t *testing.T, name string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(devmapper.Path(name), &st); err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile(fmt.Sprintf("/run/udev/data/b%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
	if err != nil || !strings.Contains(string(record), "S:mapper/"+name+"\n") || !strings.Contains(string(record), "E:DM_ACTIVATION=1\n") {
		t.Errorf("udev knows of %s: %v\n%s", name, err, record)
	}
	to, err := os.Readlink(devmapper.Path(name))
	if err != nil || to != fmt.Sprintf("../dm-%d", unix.Minor(st.Rdev)) {
		t.Errorf("%s leads to %s, %v", name, to, err)
	}
}
