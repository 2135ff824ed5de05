//go:build guest

package bpf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/await"
)

// ftraceAtStart is what the kernel made of its command line, before any engine.
var ftraceAtStart, _ = os.ReadFile(ftraceSysctl)

// keepsFtrace: this kernel refuses by itself.
func keepsFtrace() bool { return os.Getenv("KERNEL_NAME") == "newest" }

func ftraceNow(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(ftraceSysctl)
	check0(t, err)
	return strings.TrimSpace(string(text))
}

func setFtrace(text string) error { return bare(os.WriteFile(ftraceSysctl, []byte(text), 0)) }

// mountGroups mounts control groups, and gives the root and a group two deep.
func mountGroups(t *testing.T) (root *os.File, child string) {
	t.Helper()
	at := t.TempDir()
	check0(t, unix.Mount("cgroup2", at, "cgroup2", 0, ""))
	child = filepath.Join(at, "one", "two")
	check0(t, os.MkdirAll(child, 0o755))
	root, err := os.Open(at)
	check0(t, err)
	t.Cleanup(func() {
		root.Close()
		for _, dir := range []string{child, filepath.Dir(child)} {
			eventually(t, "remove group", func() error { return bare(os.Remove(dir)) })
		}
		check0(t, unix.Unmount(at, unix.MNT_DETACH))
	})
	return root, child
}

// eventually repeats what the kernel does late.
func eventually(t *testing.T, what string, fn func() error) {
	t.Helper()
	if err := await.NoError(fn); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// The foreign programs: one that says yes to what was refused, and what an older build
// might be, which refuses every write.
func saysYes() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.R1, 0, asm.Word),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 0),
		asm.FnSetRetval.Call(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
		asm.Return(),
	}
}

func refusesWrites() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word),
		asm.Mov.Imm(asm.R0, 1),
		asm.JEq.Imm(asm.R1, 0, "out"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return().WithSymbol("out"),
	}
}

func allows() asm.Instructions { return asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()} }

func groupProgram(t *testing.T, name string, kind ebpf.ProgramType, attach ebpf.AttachType, code asm.Instructions) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, AttachType: attach, Instructions: code, License: "GPL"})
	check0(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func sysctlProgram(t *testing.T, name string, code asm.Instructions) *ebpf.Program {
	t.Helper()
	return groupProgram(t, name, ebpf.CGroupSysctl, ebpf.AttachCGroupSysctl, code)
}

func attachTo(group *os.File, p *ebpf.Program, flags uint32) error {
	return bare(link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl, Flags: flags}))
}

func detachFrom(group *os.File, p *ebpf.Program) error {
	return bare(link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: int(group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl}))
}

// attachedTo gives the programs of the root for sysctls, in order.
func attachedTo(t *testing.T, group *os.File) (all []*ebpf.Program) {
	t.Helper()
	list, err := link.QueryPrograms(link.QueryOptions{Target: int(group.Fd()), Attach: ebpf.AttachCGroupSysctl})
	check0(t, err)
	for _, p := range list.Programs {
		opened, err := ebpf.NewProgramFromID(p.ID)
		check0(t, err)
		t.Cleanup(func() { opened.Close() })
		all = append(all, opened)
	}
	return all
}

// unguard removes the guard and, then, what it guards.
func unguard(t *testing.T, group *os.File) {
	t.Helper()
	removeGuard(t)
	for _, p := range attachedTo(t, group) {
		eventually(t, "detach after the guard", func() error { return detachFrom(group, p) })
	}
}

func removeGuard(t *testing.T) {
	t.Helper()
	for _, dir := range guards(t) {
		check0(t, os.RemoveAll(dir))
	}
}

func guards(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(ftraceDir, "ftrace-*"))
	check0(t, err)
	return dirs
}

func stateOf(t *testing.T, e *bpf.Engine) engine.State {
	t.Helper()
	s, err := e.State()
	check0(t, err)
	return s
}

// openKept starts an engine without what takes long and does not matter here.
func openKept(t *testing.T, dir string, log *bytes.Buffer) *bpf.Engine {
	t.Helper()
	e, err := bpf.Open(bpf.Options{PinDir: dir, KeepCaches: true, Log: slog.New(slog.NewTextHandler(io.MultiWriter(log, os.Stderr), nil))})
	check0(t, err)
	return e
}

// ftraceDir has the pins of all these tests, so that only the first start is a whole one.
const ftraceDir = "/sys/fs/bpf/ftrace"

// TestEngineKeepsFtrace: an engine switches ftrace on and has it stay on.
func TestEngineKeepsFtrace(t *testing.T) {
	group, child := mountGroups(t)
	inner, err := os.Open(child)
	check0(t, err)
	defer inner.Close()
	all := ways(t, child) // descriptors from before
	early := earlyLink(t, inner)
	defer early.Close()
	var log bytes.Buffer
	e := openKept(t, ftraceDir, &log)
	defer os.RemoveAll(ftraceDir)
	t.Run("off at boot", func(t *testing.T) { offAtBoot(t, e) })
	t.Run("ways", func(t *testing.T) { refusesAllWays(t, all) })
	t.Run("other sysctls", writesOthers)
	t.Run("guard", func(t *testing.T) { guarded(t, group, inner) })
	t.Run("others", func(t *testing.T) { leavesOthers(t, inner, early) })
	t.Run("a program behind", func(t *testing.T) { programBehind(t, e, group) })
	t.Run("found off", func(t *testing.T) { foundOff(t, group) })
	t.Run("another build", func(t *testing.T) { anotherBuild(t, group) })
	t.Run("in vain", func(t *testing.T) { inVain(t, group) })
	t.Run("removed", func(t *testing.T) { removed(t, group) })
}

// earlyLink attaches a program for sysctls of a child group, which says yes.
func earlyLink(t *testing.T, inner *os.File) (l *link.RawLink) {
	t.Helper()
	yes := sysctlProgram(t, "early", saysYes())
	eventually(t, "link before the engine", func() (err error) { // the guard of another test ends late
		l, err = link.AttachRawLink(link.RawLinkOptions{Target: int(inner.Fd()), Program: yes, Attach: ebpf.AttachCGroupSysctl})
		return err
	})
	return l
}

// offAtBoot: the command line of this guest switches it off, which the kernel does
// before it starts a process.
func offAtBoot(t *testing.T, e *bpf.Engine) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil || !strings.Contains(string(line), "sysctl.kernel.ftrace_enabled=0") {
		t.Fatalf("command line %s, %v", line, err)
	}
	want := "0"
	if keepsFtrace() {
		want = "1"
	}
	if got := strings.TrimSpace(string(ftraceAtStart)); got != want {
		t.Errorf("the guest came up with %q, want %q", got, want)
	}
	if s := stateOf(t, e); s.Deaf != "" || len(s.Problems) > 0 || ftraceNow(t) != "1" {
		t.Errorf("deaf %q, problems %q, sysctl %s", s.Deaf, s.Problems, ftraceNow(t))
	}
}

// refusesAllWays: no way of writing gets another value than 1 to the sysctl.
func refusesAllWays(t *testing.T, all []way) {
	for _, w := range all {
		for _, text := range []string{"0", "0\n", "01", " 1", "0x1", "2", "1 0", "1\n0", "-1", "10", "1\x00"} {
			w.rewind(t)
			if err := w.write(t, text); !errors.Is(err, unix.EPERM) || ftraceNow(t) != "1" {
				t.Errorf("%s of %q: %v, and then it is %s; want EPERM", w.name, text, err, ftraceNow(t))
			}
			if w.name != "opened now" {
				break // another process or ring for each would take long
			}
		}
		for _, text := range []string{"1", "1\n"} {
			if err := w.write(t, text); err != nil {
				t.Errorf("%s of %q: %v", w.name, text, err)
			}
		}
	}
}

func writesOthers(t *testing.T) {
	for path, text := range map[string]string{"/proc/sys/kernel/ftrace_dump_on_oops": "0", "/proc/sys/kernel/panic": "1",
		"/proc/sys/vm/drop_caches": "3", "/proc/sys/net/ipv4/ip_forward": "0"} {
		if err := os.WriteFile(path, []byte(text), 0); err != nil {
			t.Error(err)
		}
	}
}

// guarded: bpf(2) neither takes the program away nor puts another behind it.
func guarded(t *testing.T, group, inner *os.File) {
	attached := attachedTo(t, group)
	if len(attached) != 1 {
		t.Fatalf("%d programs attached, want 1", len(attached))
	}
	ours, yes := attached[0], sysctlProgram(t, "yes", saysYes())
	info, err := ours.Info()
	check0(t, err)
	if n, ok := info.VerifiedInstructions(); ok {
		t.Logf("the verifier walked %d instructions", n)
	}
	for what, err := range map[string]error{
		"attach another":           attachTo(group, yes, unix.BPF_F_ALLOW_MULTI),
		"attach another, alone":    attachTo(group, yes, 0),
		"attach it in a child":     attachTo(inner, yes, unix.BPF_F_ALLOW_MULTI),
		"replace it":               replaceBy(group, ours, yes),
		"detach it":                detachFrom(group, ours),
		"link another to the root": linkTo(group, yes),
		"link another to a child":  linkTo(inner, yes),
	} {
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", what, err)
		}
	}
}

// leavesOthers: links that were made before, and those of other types, can be changed
// and detached. This process has many threads.
func leavesOthers(t *testing.T, inner *os.File, early *link.RawLink) {
	if err := bare(early.Detach()); err != nil {
		t.Errorf("detach the link of another to sysctls: %v", err)
	}
	packets := groupProgram(t, "packets", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, allows())
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: int(inner.Fd()), Program: packets, Attach: ebpf.AttachCGroupInetEgress})
	check0(t, err)
	defer l.Close()
	if err := errors.Join(l.Update(groupProgram(t, "more", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, allows())), l.Detach()); err != nil {
		t.Errorf("a link of another type: %v", err)
	}
}

func replaceBy(group *os.File, old, p *ebpf.Program) error {
	return bare(link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(group.Fd()), Program: p,
		Attach: ebpf.AttachCGroupSysctl, Anchor: link.ReplaceProgram(old), Flags: unix.BPF_F_ALLOW_MULTI}))
}

func linkTo(group *os.File, p *ebpf.Program) error {
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: int(group.Fd()), Program: p, Attach: ebpf.AttachCGroupSysctl})
	if err != nil {
		return bare(err)
	}
	return l.Close()
}

// programBehind: somebody takes the guard away, which comes back while there is an engine,
// and then, without one, puts a program behind ours that says yes. It is left there, and
// ftrace off; e is closed.
func programBehind(t *testing.T, e *bpf.Engine, group *os.File) {
	removeGuard(t)
	if s := stateOf(t, e); strings.Contains(strings.Join(s.Problems, "\n"), "guard") || len(guards(t)) != 1 {
		t.Errorf("problems after the guard was removed: %q, guards %q", s.Problems, guards(t))
	}
	check0(t, e.Close()) // it holds the guard's link
	removeGuard(t)
	eventually(t, "end of what earlier tests attached", onlyOurs)
	yes := sysctlProgram(t, "yes", saysYes())
	eventually(t, "attach another", func() error { return attachTo(group, yes, unix.BPF_F_ALLOW_MULTI) })
	if err := setFtrace("0"); !keepsFtrace() && err != nil || keepsFtrace() && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("switch it off behind ours: %v", err)
	}
}

// onlyOurs wants each program to be there once. The kernel frees those of a link late,
// and gives ftrace up if it detaches one while ftrace is off.
func onlyOurs() error {
	seen := map[string]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			return err
		}
		info, err := p.Info()
		p.Close()
		if err != nil {
			return err
		}
		if hooked := info.Type == ebpf.LSM || info.Type == ebpf.Tracing; hooked && seen[info.Name] {
			return fmt.Errorf("%s is there twice", info.Name)
		}
		seen[info.Name] = true
	}
}

// foundOff: a start switches ftrace on, and so does an activation. The state tells at
// once that it is off, without a policy, too; and ours refuses while it is off.
func foundOff(t *testing.T, group *os.File) {
	var log bytes.Buffer
	e := openKept(t, ftraceDir, &log)
	defer e.Close()
	if !keepsFtrace() && !strings.Contains(log.String(), "kernel.ftrace_enabled was 0") {
		t.Errorf("a start with ftrace off logs:\n%s", &log)
	}
	if s := stateOf(t, e); s.Deaf != "" || !strings.Contains(strings.Join(s.Problems, "\n"), "after ipe's") {
		t.Errorf("with a program behind ours: deaf %q, problems %q", s.Deaf, s.Problems)
	}
	if keepsFtrace() {
		return
	}
	check0(t, setFtrace("0"))
	s := stateOf(t, e)
	if !strings.Contains(s.Deaf, "kernel.ftrace_enabled is 0") || !strings.Contains(s.Problems[0], "sysctl kernel.ftrace_enabled=1") {
		t.Errorf("switched off, without a policy: deaf %q, problems %q", s.Deaf, s.Problems)
	}
	check0(t, detachFrom(group, attachedTo(t, group)[1])) // the guard hears nothing now
	for _, text := range []string{"0", "0\n", "2"} {
		if err := setFtrace(text); !errors.Is(err, unix.EPERM) {
			t.Errorf("write of %q while it is off: %v, want EPERM", text, err)
		}
	}
	activate(t, e, enforcing, "DEFAULT action=DENY")
	if err := mapAnonymous(); !errors.Is(err, unix.EACCES) {
		t.Errorf("after an activation: %v, want EACCES", err)
	}
	if s := stateOf(t, e); s.Deaf != "" || len(s.Problems) > 0 {
		t.Errorf("after an activation: deaf %q, problems %q", s.Deaf, s.Problems)
	}
}

// anotherBuild: an upgrade finds the program and the guard of another build. It puts its
// own in their place, and at no moment can the sysctl be written.
func anotherBuild(t *testing.T, group *os.File) {
	unguard(t, group)
	check0(t, attachTo(group, sysctlProgram(t, "before", saysYes()), unix.BPF_F_ALLOW_MULTI))
	older := sysctlProgram(t, "ipe_ftrace_on", refusesWrites())
	check0(t, attachTo(group, older, unix.BPF_F_ALLOW_MULTI))
	guard(t, filepath.Join(ftraceDir, "ftrace-0123456789abcdef"))
	if err := detachFrom(group, older); !errors.Is(err, unix.EPERM) {
		t.Fatalf("the other build's guard: %v, want EPERM", err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		triesToSwitchOff(t, stop)
	}()
	e := openKept(t, ftraceDir, new(bytes.Buffer))
	defer e.Close()
	close(stop)
	<-done
	if s := stateOf(t, e); len(s.Problems) > 0 {
		t.Errorf("problems %q: a program that is asked before ours says yes in vain", s.Problems)
	}
	if err := setFtrace("1"); err != nil {
		t.Errorf("the older program is still there: %v", err)
	}
	if left := guards(t); len(left) != 1 || filepath.Base(left[0]) == "ftrace-0123456789abcdef" {
		t.Errorf("guards %v", left)
	}
	if n := len(attachedTo(t, group)); n != 2 {
		t.Errorf("%d programs, want ours and the foreign one", n)
	}
}

func triesToSwitchOff(t *testing.T, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			t.Logf("%d tries", n)
			return
		case <-time.After(time.Millisecond):
		}
		if err := setFtrace("0"); !errors.Is(err, unix.EPERM) {
			t.Errorf("during the upgrade: %v, want EPERM", err)
			return
		}
	}
}

// guard attaches what an older build's guard might be: it refuses a second program and
// taking away.
func guard(t *testing.T, dir string) {
	t.Helper()
	out := "out"
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "ipe_ftrace_keep", Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "bpf", License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord),
			asm.Mov.Imm(asm.R0, 0),
			asm.JLT.Imm(asm.R2, 8, out),
			asm.JGT.Imm(asm.R2, 9, out),
			asm.Mov.Imm(asm.R0, -int32(unix.EPERM)),
			asm.Return().WithSymbol(out),
		}})
	check0(t, err)
	defer p.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	check0(t, err)
	defer l.Close()
	check0(t, os.Mkdir(dir, 0o700))
	check0(t, l.Pin(filepath.Join(dir, "link_bpf")))
}

// inVain: a program that allows no other beside it is in the way. The engine starts and
// enforces all the same, and says so.
func inVain(t *testing.T, group *os.File) {
	unguard(t, group)
	check0(t, attachTo(group, sysctlProgram(t, "alone", allows()), 0))
	e := openKept(t, ftraceDir, new(bytes.Buffer))
	defer e.Close()
	if s := stateOf(t, e); !strings.Contains(strings.Join(s.Problems, "\n"), "allows no others beside it") {
		t.Errorf("problems %q", s.Problems)
	}
	a := activate(t, e, enforcing, "DEFAULT action=DENY")
	if st, err := e.SelfTest(a); err != nil || !st.DenialSeen {
		t.Errorf("%+v, %v", st, err)
	}
}

// removed: who removes the pins on purpose ends everything but the program, and can
// detach that.
func removed(t *testing.T, group *os.File) {
	check0(t, os.RemoveAll(ftraceDir))
	unguard(t, group)
	// Not 0: the kernel gives ftrace up if programs are detached while it is off.
	if err := setFtrace("01"); err != nil {
		t.Errorf("another writing of 1: %v", err)
	}
	eventually(t, "end of enforcement", mapAnonymous)
}
