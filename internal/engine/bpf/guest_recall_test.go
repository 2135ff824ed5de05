//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// TestEngineRecallsSignatures: files whose signatures the kernel verified while no
// engine listened. One that is mapped is verified anew at the first start; one that
// nobody uses is made to leave memory, unless that is not wanted.
func TestEngineRecallsSignatures(t *testing.T) {
	if path := os.Getenv("HOLD_MAPPED"); path != "" {
		holdMapped(t, path)
	}
	mountAll(t) // and with it the key
	mountFresh(t, "early")
	tool(t, "fsverity", "enable", "/early/sealed")
	tool(t, "fsverity", "enable", "/early/signed", "--signature=/images/digest.p7s")
	release := mapElsewhere(t, "/early/signed")
	decides(t, "mapped", bpf.Options{KeepCaches: true}, nil)
	release()
	decides(t, "kept", bpf.Options{KeepCaches: true}, unix.EACCES)
	decides(t, "dropped", bpf.Options{}, nil)
	held, err := os.Open("/early/signed")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	decides(t, "open", bpf.Options{}, nil)
}

// decides starts an engine with nothing to adopt and executes both files.
func decides(t *testing.T, name string, o bpf.Options, want error) {
	t.Helper()
	o.PinDir, o.Log = "/sys/fs/bpf/recall-"+name, slog.New(slog.NewTextHandler(os.Stderr, nil))
	e, err := bpf.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(o.PinDir)
	defer e.Close()
	activate(t, e, enforcing, "DEFAULT action=DENY", "op=EXECUTE fsverity_signature=TRUE action=ALLOW")
	if err := execute("/early/signed"); !errors.Is(err, want) {
		t.Errorf("%s: signed file: %v, want %v", name, err, want)
	}
	if err := execute("/early/sealed"); !errors.Is(err, unix.EACCES) {
		t.Errorf("%s: file without a signature: %v", name, err)
	}
}

// mapElsewhere has another process map a file, with no descriptor of it open.
func mapElsewhere(t *testing.T, path string) (release func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineRecallsSignatures$", "-test.v")
	cmd.Env = append(os.Environ(), "HOLD_MAPPED="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, out, "holding")
	return func() {
		if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
			t.Fatal(err)
		}
	}
}

func holdMapped(t *testing.T, path string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("holding")
	for { // until it is killed
		_ = unix.Pause() // a signal, by which Go stops threads, ends it
	}
}
