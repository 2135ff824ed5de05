// Package ftrace keeps kernel.ftrace_enabled at 1. With 0 the kernel calls no program on an
// LSM hook, though all stay attached.
package ftrace

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
	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// The programs of bpf/ftrace.bpf.c.
const (
	ftraceOn   = "ipe_ftrace_on"
	ftraceKeep = "ipe_ftrace_keep"
)

// guardEnds is how long the kernel may take to end a guard whose pin is gone. It takes
// milliseconds; a loaded machine takes more. Meanwhile the judging programs are attached.
const guardEnds = 10 * time.Second

// Guard keeps the sysctl at 1.
//
// The program that refuses other values is attached to the root control group itself,
// and not by a link: no descriptor leads to it that could be detached or given another
// program, no pin holds it, and all starts and builds find the same one. A guard on the
// hook of bpf(2) refuses to take it away, and to put another behind it that could say
// yes. Whatever goes wrong here is a problem to show and stops nothing.
type Guard struct {
	log  *slog.Logger
	root string // of the pins
	// checkDir refuses a directory that somebody else prepared.
	checkDir func(dir string) error
	spec     *ebpf.CollectionSpec
	// group is the root control group; nil if it cannot be reached.
	group *os.File
	guard link.Link
	// trouble says what of all this could not be done.
	trouble error
}

// New switches ftrace on, before anything is attached that needs it, and has it stay on.
// That is enough unless a guard of an earlier start is in the way: see Finish. Pins are
// below root, in directories that checkDir does not refuse.
func New(log *slog.Logger, root string, checkDir func(dir string) error) *Guard {
	g := &Guard{log: log, root: root, checkDir: checkDir}
	g.SwitchOn()
	if !abi.HasFtraceSysctl() {
		return g
	}
	g.trouble = g.open()
	if g.trouble == nil {
		g.trouble = g.hold()
	}
	return g
}

// SwitchOn sets the sysctl to 1 if it is 0.
func (g *Guard) SwitchOn() {
	off, err := abi.FtraceOff()
	if err != nil || !off {
		return // State tells of an error
	}
	if err := os.WriteFile(abi.FtraceSysctl, []byte("1"), 0); err != nil {
		g.log.Error("kernel.ftrace_enabled is 0, so the kernel calls none of the programs that decide", "error", err)
		return
	}
	g.log.Warn("kernel.ftrace_enabled was 0, so the kernel called none of the programs that decide; it is 1 now")
}

func (g *Guard) open() (err error) {
	if g.spec, err = loadFtrace(); err != nil {
		return fmt.Errorf("read embedded BPF object: %w", err)
	}
	g.group, err = openRootGroup(filepath.Join(g.root, "group"))
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
func (g *Guard) look() (h held, err error) {
	const tries = 3 // something may go between being listed and being opened
	for range tries {
		if h, err = g.lookOnce(); !errors.Is(err, os.ErrNotExist) {
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

func (g *Guard) lookOnce() (held, error) {
	var h held
	attached, err := link.QueryPrograms(link.QueryOptions{Target: int(g.group.Fd()), Attach: ebpf.AttachCGroupSysctl})
	if err != nil {
		return h, err
	}
	for _, p := range attached.Programs {
		info, err := programInfo(p.ID)
		switch {
		case err != nil:
			return h, err
		case g.spec.Programs[ftraceOn].Compatible(info) == nil:
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
func (g *Guard) hold() error {
	h, err := g.look()
	if err != nil {
		return err
	}
	if h.ours == 0 {
		if err := g.attach(); err != nil {
			return fmt.Errorf("attach to the root control group: %w", err)
		}
	}
	for _, id := range h.older {
		if err := g.detach(id); err != nil {
			return fmt.Errorf("detach the program of another build: %w", err)
		}
	}
	return nil
}

func (g *Guard) attach() error {
	p, err := ebpf.NewProgram(g.spec.Programs[ftraceOn])
	if err != nil {
		return err
	}
	defer p.Close()
	return refused(link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(g.group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl, Flags: unix.BPF_F_ALLOW_MULTI,
	}))
}

func (g *Guard) detach(id ebpf.ProgramID) error {
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return err
	}
	defer p.Close()
	return refused(link.RawDetachProgram(link.RawDetachProgramOptions{Target: int(g.group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl}))
}

// Finish does what may take time, when the programs that decide are attached: the
// change of builds, and the guard.
func (g *Guard) Finish(types *btf.Cache) {
	if g.group == nil {
		g.warn()
		return
	}
	if errors.Is(g.trouble, errRefused) {
		g.trouble = g.holdWithoutGuards()
	}
	if err := g.keep(types); err != nil {
		g.trouble = errors.Join(g.trouble, fmt.Errorf("guard it: %w", err))
	}
	g.SwitchOn()
	g.warn()
}

func (g *Guard) warn() {
	if g.trouble != nil {
		g.log.Error("kernel.ftrace_enabled can be set to 0, and then nothing is enforced", "error", g.trouble)
	}
}

// State says what an administrator must know of all this now.
func (g *Guard) State(s *engine.State) {
	const fix = ": sysctl kernel.ftrace_enabled=1; if that says \"No such device\", the kernel has given ftrace up after a fault of its own: reboot"
	off, err := abi.FtraceOff()
	if off {
		s.Deaf = "kernel.ftrace_enabled is 0, so the kernel calls none of the programs that decide"
		s.Problems = append(s.Problems, s.Deaf+fix)
	}
	if !abi.HasFtraceSysctl() {
		return
	}
	const may = "kernel.ftrace_enabled can be set to 0, and then nothing is enforced: "
	for _, err := range []error{err, g.trouble, g.loose()} {
		if err != nil {
			s.Problems = append(s.Problems, may+err.Error())
		}
	}
}

// loose says what of that which a start attached is no longer as it was.
func (g *Guard) loose() error {
	if g.group == nil || g.trouble != nil {
		return nil // that is told already
	}
	h, err := g.look()
	switch {
	case err != nil:
		return err
	case h.ours == 0:
		return errors.New("its program was detached from the root control group: restart iped")
	case len(h.behind) > 0:
		slices.Sort(h.behind)
		return fmt.Errorf("the kernel asks other sysctl programs of the root control group after ipe's, and they may say yes: programs %v", h.behind)
	}
	if _, err := os.Lstat(g.guardPin()); err != nil {
		return fmt.Errorf("the guard is gone: %w: restart iped", err)
	}
	return nil
}

// Close lets go of what is attached, which stays so.
func (g *Guard) Close() error {
	var errs []error
	if g.guard != nil {
		errs = append(errs, g.guard.Close())
	}
	if g.group != nil {
		errs = append(errs, g.group.Close())
	}
	return errors.Join(errs...)
}

// Pin is where the guard's link is to be pinned, and the link; nil if there is none.
func (g *Guard) Pin() (path string, l link.Link) { return g.guardPin(), g.guard }
