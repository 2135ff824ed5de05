//go:build linux

package scenarios

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ipe-linux/ipe/internal/lab/scenarios/records"
)

// startTime is how long the daemon may take to serve the tree; an emulated machine
// is slow.
const startTime = 2 * time.Minute

// daemonLog holds what the daemon says, decision by decision.
const daemonLog = "/run/daemon.log"

// daemonWords is the end of that, for errors.
func daemonWords() string {
	text, err := os.ReadFile(daemonLog)
	if err != nil {
		return ""
	}
	return "\n" + string(text[max(0, len(text)-3000):])
}

// daemon is what serves the control tree if the kernel does not.
type daemon struct {
	cmd   *exec.Cmd
	ended chan error
}

// start brings up what enforces, before there are any files that it could miss, and
// the source of its records.
func (s *Session) start() (err error) {
	if len(s.cfg.Daemon) > 0 {
		if s.daemon, err = startDaemon(s.cfg.Daemon, s.cfg.Tree); err != nil {
			return err
		}
		s.masks.Daemon = uint32(s.daemon.cmd.Process.Pid)
	}
	s.source, err = records.Open(s.cfg.Records)
	return err
}

func startDaemon(command []string, tree string) (*daemon, error) {
	log, err := os.Create(daemonLog)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	defer log.Close()
	d := &daemon{cmd: exec.Command(command[0], command[1:]...), ended: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	for end := time.Now().Add(startTime); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.ReadFile(filepath.Join(tree, "enforce"))
		if err == nil {
			return d, nil
		}
		select {
		case err := <-d.ended:
			return nil, fmt.Errorf("start %s: it ended: %w%s", command[0], err, daemonWords())
		default:
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("start %s: %w", command[0], err)
		}
	}
}

// stop ends the daemon and demands that it ended well.
func (s *Session) stop() error {
	err := s.source.Close()
	if s.daemon == nil {
		return err
	}
	return errors.Join(err, s.daemon.cmd.Process.Signal(syscall.SIGTERM), <-s.daemon.ended)
}
