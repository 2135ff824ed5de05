//go:build guest

package daemon

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// The machine on which a start is measured: processes with open files, of which some
// have fs-verity, and a key by which they could be signed.
const (
	holders     = 20
	heldFiles   = 40
	sealedFiles = 4
)

// TestMeasureStart prints what BenchmarkStart reports. The clock of its guest advances
// by one nanosecond an instruction, also that of a process.
func TestMeasureStart(t *testing.T) {
	if os.Getenv("HOLD_FILES") != "" {
		holdFiles(t)
	}
	trustVerityKey(t)
	makeFiles(t)
	for range holders {
		startHolder(t)
	}
	daemon := iped(t)
	ipe(t, "policy", "load", "/site-1.0.0.p7b")
	ipe(t, "policy", "activate", "site")
	stop(t, daemon, unix.SIGTERM)
	detachAll(t)
	for _, name := range []string{"first", "adopting"} {
		measureStart(t, name)
	}
}

// measureStart starts iped, waits until it is ready, then until it is idle, and stops it.
func measureStart(t *testing.T, name string) {
	t.Helper()
	const socket = "/run/notify"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(socket)
	defer conn.Close()
	cmd := exec.Command("/bin/iped", "--socket", "/run/iped.sock", "--trust", "/etc/ipe/trust", "--state", "/run/state", "--fs", treeDir)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	log := logFile(t, name)
	cmd.Stdout, cmd.Stderr = os.Stdout, log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitReady(t, conn)
	wall, work := time.Since(begin), processorTime(t, cmd.Process.Pid)
	if s := statusNow(t); !s.Enforcing || s.Kernel.Adopted != (name == "adopting") {
		t.Fatalf("%s start: %+v", name, s)
	}
	rss, own := idleMemory(t)
	fmt.Printf("metric %s-enforcing-s %.2f\n", name, enforcedAt(t, log).Sub(begin).Seconds())
	fmt.Printf("metric %s-G %.3f\nmetric %s-wall-s %.2f\n", name, work.Seconds(), name, wall.Seconds())
	fmt.Printf("metric %s-peak-KiB %d\nmetric %s-idle-KiB %d\nmetric %s-idle-own-KiB %d\n", name, peak(t, cmd.Process.Pid), name, rss, name, own)
	stop(t, cmd, unix.SIGTERM)
}

// idleMemory is what iped has when it has had nothing to give back for two of its looks.
func idleMemory(t *testing.T) (rss, own int) {
	t.Helper()
	since := time.Now()
	settled := await.Until(func() bool {
		r, o := memory(t, "iped")
		if r != rss || o != own {
			rss, own, since = r, o, time.Now()
		}
		return time.Since(since) > 2*trimInterval
	})
	if !settled {
		t.Fatalf("the memory of iped still changes: %d KiB", rss)
	}
	return rss, own
}

func logFile(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create("/run/start-" + name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// enforcedAt is when the daemon noted that the kernel has the policy.
func enforcedAt(t *testing.T, log *os.File) time.Time {
	t.Helper()
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "policy activated") && !strings.Contains(line, "policy adopted") {
			continue
		}
		stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	t.Fatalf("no policy:\n%s", text)
	return time.Time{}
}

func waitReady(t *testing.T, conn *net.UnixConn) {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(buf[:n]), "READY=1\n") {
			return
		}
	}
}

// processorTime is what all threads of a process have had, those that ended, too.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	const schedulerClock = 2 // as clock_getcpuclockid(3) makes it
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedulerClock, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func peak(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// trustVerityKey puts a key into .fs-verity; without one nothing was ever signed.
func trustVerityKey(t *testing.T) {
	t.Helper()
	der, err := os.ReadFile("/verity.der")
	keys, kerr := os.ReadFile("/proc/keys")
	if err := errors.Join(err, kerr); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(keys)) {
		var id int
		if !strings.Contains(line, " .fs-verity: ") {
			continue
		}
		_, err := fmt.Sscanf(line, "%x", &id)
		if err == nil {
			_, err = unix.AddKey("asymmetric", "", der, id)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no keyring .fs-verity")
}

func makeFiles(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.Mkdir("/files", 0o755), unix.Mount("/dev/vda", "/files", "ext4", 0, "")); err != nil {
		t.Fatal(err)
	}
	for i := range heldFiles {
		if err := os.WriteFile(heldFile(i), []byte(heldFile(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		if i < sealedFiles {
			seal(t, heldFile(i))
		}
	}
}

func heldFile(i int) string { return fmt.Sprintf("/files/%d", i) }

func seal(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fsioctl.Enable(f, fsverity.Params{BlockSize: 4096}, nil); err != nil {
		t.Fatal(err)
	}
}

// startHolder has another process keep all files open.
func startHolder(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestMeasureStart$")
	cmd.Env = append(os.Environ(), "HOLD_FILES=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), ignore(cmd.Wait())); err != nil {
			t.Error(err)
		}
	})
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatalf("a process that was to hold files: %v", err)
	}
}

func holdFiles(t *testing.T) {
	for i := range heldFiles {
		if _, err := unix.Open(heldFile(i), unix.O_RDONLY, 0); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("holding")
	for { // until it is killed
		_ = unix.Pause() // a signal, by which Go stops threads, ends it
	}
}
