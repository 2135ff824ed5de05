package bpf

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/kernelabi"
)

// The programs of bpf/ftrace.bpf.c.
const (
	ftraceOn   = "ipe_ftrace_on"
	ftraceKeep = "ipe_ftrace_keep"
)

// guardEnds is how long the kernel may take to end a guard whose pin is gone. It takes
// milliseconds; a loaded machine takes more. Meanwhile the judging programs are attached.
const guardEnds = 10 * time.Second

// ftrace keeps kernel.ftrace_enabled at 1. With 0 the kernel calls no program on an LSM
// hook, though all stay attached.
//
// The program that refuses other values is attached to the root control group itself,
// and not by a link: no descriptor leads to it that could be detached or given another
// program, no pin holds it, and all starts and builds find the same one. A guard on the
// hook of bpf(2) refuses to take it away, and to put another behind it that could say
// yes. Whatever goes wrong here is a problem to show and stops nothing.
type ftrace struct {
	log  *slog.Logger
	root string // of the pins
	spec *ebpf.CollectionSpec
	// group is the root control group; nil if it cannot be reached.
	group *os.File
	guard link.Link
	// trouble says what of all this could not be done.
	trouble error
}

// newFtrace switches ftrace on, before anything is attached that needs it, and has it
// stay on. That is enough unless a guard of an earlier start is in the way: see finish.
func newFtrace(log *slog.Logger, root string) *ftrace {
	f := &ftrace{log: log, root: root}
	f.switchOn()
	if !kernelabi.HasFtraceSysctl() {
		return f
	}
	f.trouble = f.open()
	if f.trouble == nil {
		f.trouble = f.hold()
	}
	return f
}

// switchOn sets the sysctl to 1 if it is 0.
func (f *ftrace) switchOn() {
	off, err := kernelabi.FtraceOff()
	if err != nil || !off {
		return // state tells of an error
	}
	if err := os.WriteFile(kernelabi.FtraceSysctl, []byte("1"), 0); err != nil {
		f.log.Error("kernel.ftrace_enabled is 0, so the kernel calls none of the programs that decide", "error", err)
		return
	}
	f.log.Warn("kernel.ftrace_enabled was 0, so the kernel called none of the programs that decide; it is 1 now")
}

func (f *ftrace) open() (err error) {
	if f.spec, err = loadFtrace(); err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	f.group, err = openRootGroup(filepath.Join(f.root, "group"))
	return err
}

// errRefused: the kernel does not attach our program, or detach one. Either a guard
// refuses it, or a program that allows no others beside it.
var errRefused = errors.New("another guard is in the way, or a program that allows no others beside it")

func refused(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %w", err, errRefused)
	}
	return err
}

// held is what is attached to the root control group for sysctls.
type held struct {
	// ours counts programs with the content of ours, older are those of other builds.
	ours  int
	older []ebpf.ProgramID
	// behind are programs of others that the kernel calls after ours.
	behind []ebpf.ProgramID
}

// look reads what is attached, in the order in which the kernel calls it.
func (f *ftrace) look() (h held, err error) {
	const tries = 3 // something may go between being listed and being opened
	for range tries {
		if h, err = f.lookOnce(); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: Linux 6.1 wants CAP_NET_ADMIN for it", err)
	}
	if err != nil {
		return h, fmt.Errorf("list sysctl programs of the root control group: %w", err)
	}
	return h, nil
}

func (f *ftrace) lookOnce() (held, error) {
	var h held
	attached, err := link.QueryPrograms(link.QueryOptions{Target: int(f.group.Fd()), Attach: ebpf.AttachCGroupSysctl})
	if err != nil {
		return h, err
	}
	for _, p := range attached.Programs {
		info, err := programInfo(p.ID)
		switch {
		case err != nil:
			return h, err
		case f.spec.Programs[ftraceOn].Compatible(info) == nil:
			h.ours++
			h.behind = nil
		case info.Name == ftraceOn:
			h.older = append(h.older, p.ID)
		default:
			h.behind = append(h.behind, p.ID)
		}
	}
	if h.ours == 0 {
		h.behind = nil
	}
	return h, nil
}

func programInfo(id ebpf.ProgramID) (*ebpf.ProgramInfo, error) {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Info()
}

// hold attaches the program if it is not, and then detaches those of other builds.
func (f *ftrace) hold() error {
	h, err := f.look()
	if err != nil {
		return err
	}
	if h.ours == 0 {
		if err := f.attach(); err != nil {
			return fmt.Errorf("attach to the root control group: %w", explain(err))
		}
	}
	for _, id := range h.older {
		if err := f.detach(id); err != nil {
			return fmt.Errorf("detach the program of another build: %w", err)
		}
	}
	return nil
}

func (f *ftrace) attach() error {
	p, err := ebpf.NewProgram(f.spec.Programs[ftraceOn])
	if err != nil {
		return err
	}
	defer p.Close()
	return refused(link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(f.group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl, Flags: unix.BPF_F_ALLOW_MULTI,
	}))
}

func (f *ftrace) detach(id ebpf.ProgramID) error {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return err
	}
	defer p.Close()
	return refused(link.RawDetachProgram(link.RawDetachProgramOptions{Target: int(f.group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl}))
}

// finish does what may take time, when the programs that decide are attached: the
// change of builds, and the guard.
func (f *ftrace) finish(types *btf.Cache) {
	if f.group == nil {
		f.warn()
		return
	}
	if errors.Is(f.trouble, errRefused) {
		f.trouble = f.holdWithoutGuards()
	}
	if err := f.keep(types); err != nil {
		f.trouble = errors.Join(f.trouble, fmt.Errorf("guard it: %w", err))
	}
	f.switchOn()
	f.warn()
}

func (f *ftrace) warn() {
	if f.trouble != nil {
		f.log.Error("kernel.ftrace_enabled can be set to 0, and then nothing is enforced", "error", f.trouble)
	}
}

// state says what an administrator must know of all this now.
func (f *ftrace) state(s *engine.State) {
	const fix = ": sysctl kernel.ftrace_enabled=1; if that says \"No such device\", the kernel has given ftrace up after a fault of its own: reboot"
	off, err := kernelabi.FtraceOff()
	if off {
		s.Deaf = "kernel.ftrace_enabled is 0, so the kernel calls none of the programs that decide"
		s.Problems = append(s.Problems, s.Deaf+fix)
	}
	if !kernelabi.HasFtraceSysctl() {
		return
	}
	const may = "kernel.ftrace_enabled can be set to 0, and then nothing is enforced: "
	for _, err := range []error{err, f.trouble, f.loose()} {
		if err != nil {
			s.Problems = append(s.Problems, may+err.Error())
		}
	}
}

// loose says what of that which a start attached is no longer as it was.
func (f *ftrace) loose() error {
	if f.group == nil || f.trouble != nil {
		return nil // that is told already
	}
	h, err := f.look()
	switch {
	case err != nil:
		return err
	case h.ours == 0:
		return errors.New("its program was detached from the root control group: restart iped")
	case len(h.behind) > 0:
		slices.Sort(h.behind)
		return fmt.Errorf("the kernel asks other sysctl programs of the root control group after ipe's, and they may say yes: programs %v", h.behind)
	}
	if _, err := os.Lstat(f.guardPin()); err != nil {
		return fmt.Errorf("the guard is gone: %w: restart iped", err)
	}
	return nil
}

func (f *ftrace) close() error {
	var errs []error
	if f.guard != nil {
		errs = append(errs, f.guard.Close())
	}
	if f.group != nil {
		errs = append(errs, f.group.Close())
	}
	return errors.Join(errs...)
}
