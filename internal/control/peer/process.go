package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/audit"
)

// initialUserNS is the inode number of the initial user namespace, which is the same
// on every machine (PROC_USER_INIT_INO in the kernel's include/linux/proc_ns.h).
const initialUserNS = 0xEFFFFFFD

// maxText bounds what is read of one file in /proc; they have some kilobytes at most.
const maxText = 64 << 10

// process is a process, or a thread, whose directory in /proc is held open. What is read
// through it is of that process or an error, whoever gets its number.
type process struct{ dir int }

func hold(pid int32) (*process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("%w: it is in a PID namespace that is not seen from here", ErrUnseen)
	}
	name := fmt.Sprintf("/proc/%d", pid)
	dir, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, ErrEnded
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnseen, &os.PathError{Op: "open", Path: name, Err: err})
	}
	return &process{dir}, nil
}

func (p *process) close() { unix.Close(p.dir) }

// lack is why it may not administer. Capabilities come before the namespace: a process
// without any gets all of them in a namespace that it makes, and has no way back from
// there, so one that is in the initial namespace now had its capabilities there.
func (p *process) lack() error {
	status, err := p.read("status")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnseen, err)
	}
	caps, err := effective(status)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnseen, err)
	}
	var ns unix.Stat_t
	if err := unix.Fstatat(p.dir, "ns/user", &ns, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrUnseen, os.NewSyscallError("stat its user namespace", err))
	}
	switch {
	case ns.Ino != initialUserNS:
		return ErrNamespace
	case caps&(1<<unix.CAP_MAC_ADMIN) == 0:
		return ErrNoCapability
	}
	return nil
}

func (p *process) subject() audit.Subject {
	return audit.Subject{AUID: p.number("loginuid"), Session: p.number("sessionid")}
}

func (p *process) number(file string) uint32 {
	text, err := p.read(file)
	if err != nil {
		return audit.Unset
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return audit.Unset
	}
	return uint32(n)
}

// start is when it began.
func (p *process) start() (ticks, error) {
	stat, err := p.read("stat")
	if err != nil {
		return 0, err
	}
	return startTime(stat)
}

func (p *process) read(file string) ([]byte, error) {
	fd, err := unix.Openat(p.dir, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: file, Err: err}
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxText))
}

// effective finds the effective capabilities in /proc/PID/status. The name of a program,
// which may hold anything, has no line break there.
func effective(status []byte) (uint64, error) {
	for line := range bytes.Lines(status) {
		if v, ok := bytes.CutPrefix(line, []byte("CapEff:")); ok {
			return strconv.ParseUint(string(bytes.TrimSpace(v)), 16, 64)
		}
	}
	return 0, errors.New("its status has no effective capabilities")
}

// ticks is a time since boot, also while the machine slept, in the unit of
// /proc/PID/stat.
type ticks uint64

// perSecond is USER_HZ, which is 100 wherever this runs.
const perSecond = 100

func now() (ticks, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ticks(ts.Nano() / (1e9 / perSecond)), nil
}

// startField is the place of the start time among the fields behind the name, which may
// hold blanks and parentheses.
const startField = 22 - 3

func startTime(stat []byte) (ticks, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startField {
		return 0, errors.New("its stat has no start time")
	}
	n, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its start time: %w", err)
	}
	return ticks(n), nil
}
