//go:build linux

package scenarios

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

// Under load, policies that both deny memory take turns, one by a rule and one by its
// default, while processes ask without a pause.
const (
	switchLoad  = 8
	switchCount = 40
	// switchPause is between two policies, and between two questions of a process:
	// the kernel passes on a few hundred records a second under emulation.
	switchPause = 40 * time.Millisecond
)

// LoadArgument makes the probe one of the processes that ask.
const LoadArgument = "load"

// Load asks for executable memory until its parent's pipe is closed, and prints how
// often it was allowed and whether it was refused at all.
func Load() error {
	runtime.LockOSThread()
	allowed, refused := 0, 0
	for {
		for range 20 {
			time.Sleep(switchPause)
			switch err := mapMemory(unix.MAP_PRIVATE); result(err) {
			case "ok":
				allowed++
			case "EACCES":
				refused++
			default:
				return err
			}
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: 0, Events: unix.POLLIN}}, 0); n > 0 {
			_, err := fmt.Printf("allowed %d, refused %v\n", allowed, refused > 0)
			return err
		}
	}
}

// switches: nothing is allowed between two policies, and nothing is decided half by
// one and half by the other.
func switches(s *Session) error {
	// The processes are executed before that is denied.
	if err := s.mode(true, false); err != nil {
		return err
	}
	if err := s.switchTo("begin", "DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"); err != nil {
		return err
	}
	workers, err := startLoad()
	if err != nil {
		return err
	}
	rules := map[string]bool{}
	time.Sleep(100 * time.Millisecond)
	for i := range switchCount {
		text := []string{"DEFAULT action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW"}
		if i%2 == 1 {
			text = []string{"DEFAULT action=ALLOW", "op=EXECUTE boot_verified=FALSE action=DENY"}
		}
		if err := s.decideBy(text...); err != nil {
			return err
		}
		time.Sleep(switchPause)
	}
	for i, w := range workers {
		if err := s.out.Write(s.scenario, fmt.Sprintf("process %d", i), w.end()); err != nil {
			return err
		}
	}
	records, err := s.settle()
	if err != nil {
		return err
	}
	noteRules(rules, records)
	return s.out.Write(s.scenario, "decided by", strings.Join(slices.Sorted(maps.Keys(rules)), "; "))
}

// noteRules collects what decided about memory.
func noteRules(rules map[string]bool, records []audit.Record) {
	for _, r := range records {
		if a, ok := r.(audit.Access); ok && a.File == nil {
			rules[a.Rule.String()] = true
		}
	}
}

// worker is a process that asks.
type worker struct {
	cmd  *exec.Cmd
	hold *os.File
	out  *strings.Builder
}

func startLoad() (all []*worker, err error) {
	for range switchLoad {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		work := &worker{cmd: exec.Command("/proc/self/exe", LoadArgument), hold: w, out: &strings.Builder{}}
		work.cmd.Stdin, work.cmd.Stdout, work.cmd.Stderr = r, work.out, work.out
		if err := work.cmd.Start(); err != nil {
			return nil, fmt.Errorf("start load: %w", err)
		}
		all = append(all, work)
	}
	return all, nil
}

// end ends the process and gives its last words.
func (w *worker) end() string {
	w.hold.Close()
	if err := w.cmd.Wait(); err != nil {
		return fmt.Sprintf("%v: %s", err, w.out)
	}
	return strings.TrimSpace(w.out.String())
}
