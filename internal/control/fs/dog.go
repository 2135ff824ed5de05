package fs

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dog is the process that runs Watchdog, as its server sees it.
type dog struct {
	started time.Time
	// beats is written to, cuts read from.
	beats, cuts *os.File
}

func startDog(dir string, w Watch) (*dog, error) {
	stdin, beats, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cuts, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), beats.Close())
	}
	cmd := &exec.Cmd{
		Path: w.Path, Args: []string{WatchdogName, dir, w.Patience.String()}, Dir: "/", Env: []string{"GOMAXPROCS=1"},
		Stdin: stdin, Stdout: stdout, Stderr: os.Stderr,
		// What stops or ends the processes of a terminal is not meant for it.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	d := &dog{started: time.Now(), beats: beats, cuts: cuts}
	if err := errors.Join(cmd.Start(), stdin.Close(), stdout.Close()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	go cmd.Wait() //nolint:errcheck // only so that no zombie is left
	return d, nil
}

// The server never waits for its watchdog, which may be stopped itself. It has no
// deadlines either: one that passes while the server is stopped would hide what is there.

// tell sends a beat. A watchdog that does not listen just now is no error.
func (d *dog) tell(device uint64) error {
	conn, err := d.beats.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Write(func(fd uintptr) bool {
		_, sent = unix.Write(int(fd), binary.LittleEndian.AppendUint64(nil, device))
		return true
	})
	if errors.Is(sent, unix.EAGAIN) {
		sent = nil
	}
	return errors.Join(err, os.NewSyscallError("write", sent))
}

// hasCut reports whether there was a cut since it was last asked.
func (d *dog) hasCut() bool {
	conn, err := d.cuts.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = conn.Read(func(fd uintptr) bool {
		n, _ = unix.Read(int(fd), make([]byte, 64)) // EAGAIN if there is nothing
		return true
	})
	return err == nil && n > 0
}

// close ends the process, which sees its input end.
func (d *dog) close() error { return errors.Join(d.beats.Close(), d.cuts.Close()) }
