package controlfs

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// dog is the process that runs Watchdog, as its server sees it.
type dog struct {
	started time.Time
	// beats is written to, cuts read from.
	beats, cuts *os.File
}

// moment is how long the server waits for its watchdog, which may be stopped itself.
const moment = 10 * time.Millisecond

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

// tell sends a beat. A watchdog that does not listen just now is no error.
func (d *dog) tell(device uint64) error {
	if err := d.beats.SetWriteDeadline(time.Now().Add(moment)); err != nil {
		return err
	}
	_, err := d.beats.Write(binary.LittleEndian.AppendUint64(nil, device))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// hasCut reports whether there was a cut since it was last asked.
func (d *dog) hasCut() bool {
	if err := d.cuts.SetReadDeadline(time.Now().Add(moment)); err != nil {
		return false
	}
	n, err := d.cuts.Read(make([]byte, 64))
	return err == nil && n > 0
}

// close ends the process, which sees its input end.
func (d *dog) close() error { return errors.Join(d.beats.Close(), d.cuts.Close()) }
