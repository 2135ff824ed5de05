//go:build guest

package bpf_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// askers ask in each way in which a process has what another one has.
var askers = map[string][]byte{
	"itself":                  attack.Asks(),
	"its thread":              slices.Concat(thread(), attack.Asks()),
	"fork":                    slices.Concat(fork(), attack.Asks()),
	"fork of a fork":          slices.Concat(fork(), fork(), attack.Asks()),
	"vfork":                   slices.Concat(attack.Forks(unix.CLONE_VM|unix.CLONE_VFORK|uint32(unix.SIGCHLD), attack.Parent()), attack.Asks()),
	"thread of a fork":        slices.Concat(fork(), thread(), attack.Asks()),
	"a tracer of its child":   slices.Concat(attack.SeizesChild(), attack.Asks()),
	"itself, after it waited": slices.Concat(attack.Waits(), attack.Asks()),
}

func fork() []byte { return attack.Forks(uint32(unix.SIGCHLD), attack.Parent()) }

func thread() []byte { return attack.Forks(attack.ThreadFlags, attack.Sleeps()) }

// exceptVolume makes a volume with the programs that ask, mounts it, and returns its root hash.
func exceptVolume(t *testing.T, at string) digest.Digest {
	t.Helper()
	image := "/images" + at + ".img"
	disk := blankDisks(t, 2<<20, image)[0]
	tool(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal,verity", disk)
	tool(t, "mount", disk, directory(t, at))
	for name, code := range askers {
		check0(t, os.WriteFile(at+"/"+name, attack.Program(code, false), 0o755))
	}
	directory(t, at+"/a/directory")
	for name, code := range map[string][]byte{"a/directory/asks": attack.Asks(), "executes another": attack.Executes(at + "/another"), "another": attack.Asks(), "executes itself": attack.Executes(at + "/itself"), "sealed": attack.Asks()} {
		check0(t, os.WriteFile(at+"/"+name, attack.Program(code, false), 0o755))
	}
	check0(t, os.Link(at+"/itself", at+"/linked"))
	tool(t, "fsverity", "enable", at+"/sealed")
	unmount(t, at)
	freeDisks(t, disk)
	return mountSealed(t, image, at, "ext4", "ro")
}

// gets runs a program that asks, and reports whether it got executable memory.
func gets(t *testing.T, path string) bool {
	t.Helper()
	return got(t, path, exec.Command(path).Run())
}

func got(t *testing.T, path string, err error) bool {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return false
	}
	t.Fatalf("%s: %v", path, err)
	return false
}

// TestEngineExcepts: what is verified of an executable gives its processes exceptions, and
// those that they fork, until they execute another or somebody traces them.
func TestEngineExcepts(t *testing.T) {
	mountAll(t)
	const at = "/excepts"
	root := exceptVolume(t, at)
	// Before anybody looks at what is written to the initramfs.
	check0(t, os.WriteFile("/except-script", []byte("#!"+at+"/itself\n"), 0o755))
	check0(t, os.WriteFile("/except-other", []byte("#!"+at+"/another "+at+"/itself\n"), 0o755))
	defer func() {
		unmount(t, at)
		tool(t, "veritysetup", "close", "excepts")
	}()
	const pins = "/sys/fs/bpf/excepts"
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: engine.Strict()})
	defer func() {
		check0(t, e.Close())
		check0(t, os.RemoveAll(pins))
	}()
	activate(t, e, engine.Mode{Enforce: true}, "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY",
		"op=EXECUTE boot_verified=TRUE action=ALLOW", "op=EXECUTE dmverity_roothash="+root.String()+" action=ALLOW")
	allows := func(exceptions ...profile.Exception) {
		p := engine.Strict()
		p.Rules[strict.Ptrace], p.Rules[strict.TraceMe], p.Rules[strict.ProcMem] = strict.Off, strict.Off, strict.Off
		p.Exceptions = exceptions
		check0(t, e.SetProfile(p))
		if got := stateOf(t, e).Excepted; got != len(exceptions) {
			t.Errorf("%d executables excepted, want %d", got, len(exceptions))
		}
	}
	memory := func(i profile.Identity) profile.Exception { return profile.Exception{Identity: i} }
	byPath := func(path string) profile.Identity { return profile.Identity{Root: root, Path: path} }
	sealed := measure(t, at+"/sealed")

	before := start(t, at+"/itself, after it waited")
	for name := range askers {
		if name != "itself, after it waited" && gets(t, at+"/"+name) {
			t.Errorf("%s: got memory without an exception", name)
		}
	}
	var all []profile.Exception
	for name := range askers {
		all = append(all, memory(byPath("/"+name)))
	}
	allows(all...)
	for name := range askers {
		if name != "itself, after it waited" && !gets(t, at+"/"+name) {
			t.Errorf("%s: got none", name)
		}
	}
	if before.goOn(t) {
		t.Error("a process that was there before the exception got memory")
	}
	if !start(t, at+"/itself, after it waited").goOn(t) {
		t.Error("the same, executed after it, got none")
	}
	t.Run("identities", func(t *testing.T) {
		for _, c := range []struct {
			name     string
			id       profile.Identity
			path     string
			excepted bool
		}{
			{"path", byPath("/itself"), "/itself", true},
			{"another path", byPath("/itself"), "/another", false},
			{"a hard link", byPath("/itself"), "/linked", false},
			{"a path in directories", byPath("/a/directory/asks"), "/a/directory/asks", true},
			{"the end of a path", byPath("/asks"), "/a/directory/asks", false},
			{"the mount's path", byPath(at + "/itself"), "/itself", false},
			{"path on another volume", profile.Identity{Root: rootHash(t, "ROOT_HASH"), Path: "/itself"}, "/itself", false},
			{"digest", profile.Identity{File: sealed}, "/sealed", true},
			{"digest of another", profile.Identity{File: measure(t, "/files/sealed")}, "/sealed", false},
			{"the same bytes without a digest", profile.Identity{File: sealed}, "/itself", false},
			{"digest on the volume", profile.Identity{File: sealed, Root: root}, "/sealed", true},
			{"digest on another volume", profile.Identity{File: sealed, Root: rootHash(t, "ROOT_HASH")}, "/sealed", false},
			{"executes another", byPath("/executes another"), "/executes another", false},
			{"executes what is excepted", byPath("/itself"), "/executes itself", true},
		} {
			allows(memory(c.id))
			if got := gets(t, at+c.path); got != c.excepted {
				t.Errorf("%s: got memory %t, want %t", c.name, got, c.excepted)
			}
		}
	})
	t.Run("the loader", func(t *testing.T) { testLoader(t, at, allows, memory(byPath("/itself"))) })
	t.Run("taken away", func(t *testing.T) {
		allows(memory(byPath("/itself, after it waited")))
		p := start(t, at+"/itself, after it waited")
		allows()
		if p.goOn(t) {
			t.Error("got memory after its exception was taken away")
		}
		allows(memory(byPath("/itself, after it waited")))
		p = start(t, at+"/itself, after it waited")
		allows(memory(byPath("/another")), memory(byPath("/itself, after it waited")))
		if !p.goOn(t) {
			t.Error("another profile with the same exception took it away")
		}
	})
	t.Run("traced", func(t *testing.T) { testTraced(t, at, allows, memory(byPath("/itself, after it waited"))) })
	t.Run("traced while nobody looked", func(t *testing.T) {
		x := memory(byPath("/itself, after it waited"))
		allows(x)
		p, q := start(t, at+"/itself, after it waited"), start(t, at+"/itself, after it waited")
		check0(t, e.SetProfile(engine.Profile{}))
		check0(t, seize(p.cmd.Process.Pid))
		allows(x)
		if p.goOn(t) || q.goOn(t) {
			t.Error("got memory with an exception of before")
		}
		if !start(t, at+"/itself, after it waited").goOn(t) {
			t.Error("executed after it: got none")
		}
	})
	t.Run("adopted", func(t *testing.T) {
		p := engine.Strict()
		p.Exceptions = []profile.Exception{memory(byPath("/itself, after it waited"))}
		check0(t, e.SetProfile(p))
		w := start(t, at+"/itself, after it waited")
		check0(t, e.Close())
		e = openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: p})
		if !w.goOn(t) {
			t.Error("another process of the engine took the exception away")
		}
	})
}

// testLoader: to be the argument of another program is not to be executed.
func testLoader(t *testing.T, at string, allows func(...profile.Exception), x profile.Exception) {
	allows(x)
	if !gets(t, "/except-script") {
		t.Error("of a script its interpreter is executed, and got none")
	}
	if gets(t, "/except-other") {
		t.Error("another program got memory, whose argument is excepted")
	}
}

// testTraced: a tracer that has not the same exceptions takes them, from all processes of
// that execution.
func testTraced(t *testing.T, at string, allows func(...profile.Exception), x profile.Exception) {
	allows(x)
	path := at + "/itself, after it waited"
	for name, trace := range map[string]func(pid int) error{
		"seized":  seize,
		"written": func(pid int) error { return ignore(writeTo(pid)) },
		"its mem opened": func(pid int) error {
			return opens0(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY)()
		},
	} {
		p := start(t, path)
		check0(t, trace(p.cmd.Process.Pid))
		if p.goOn(t) {
			t.Errorf("%s: got memory", name)
		}
	}
	p := start(t, path)
	_, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.cmd.Process.Pid))
	check0(t, err)
	if !p.goOn(t) {
		t.Error("looked at: got none")
	}
	cmd := exec.Command(at + "/itself")
	allows(profile.Exception{Identity: profile.Identity{Root: x.Identity.Root, Path: "/itself"}})
	if err := runTraced(cmd); got(t, "traced from the start", err) {
		t.Error("traced from the start: got memory")
	}
}

// runTraced runs a program that its parent traces.
func runTraced(cmd *exec.Cmd) error {
	runtime.LockOSThread() // which is the tracer
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := errors.Join(waitStopped(cmd.Process.Pid), unix.PtraceCont(cmd.Process.Pid, 0)); err != nil {
		return err
	}
	return cmd.Wait()
}

// seize traces a process for a moment.
func seize(pid int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return errors.Join(unix.PtraceSeize(pid), unix.PtraceInterrupt(pid), waitStopped(pid), unix.PtraceDetach(pid))
}

func waitStopped(pid int) error {
	var status unix.WaitStatus
	_, err := unix.Wait4(pid, &status, unix.WALL, nil)
	return err
}

// waiting is a process that asks when it is told to.
type waiting struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	path string
}

func start(t *testing.T, path string) *waiting {
	t.Helper()
	w := &waiting{cmd: exec.Command(path), path: path}
	var err error
	w.in, err = w.cmd.StdinPipe()
	check0(t, err)
	out, err := w.cmd.StdoutPipe()
	check0(t, err)
	check0(t, w.cmd.Start())
	_, err = out.Read(make([]byte, 1)) // before, it may have our memory still
	check0(t, err)
	return w
}

// goOn reports whether it got memory.
func (w *waiting) goOn(t *testing.T) bool {
	t.Helper()
	_, err := w.in.Write([]byte{'x'})
	check0(t, err)
	return got(t, w.path, w.cmd.Wait())
}

// TestEngineExceptsRules: an exception from a rule is one for what is executed, in all of
// its threads and in a worker of io_uring, and for no program that it starts.
func TestEngineExceptsRules(t *testing.T) {
	strictPrograms(t)
	const at, pins = "/except-rules", "/sys/fs/bpf/except-rules"
	disk := blankDisks(t, 96<<20, "/images"+at+".img")[0]
	tool(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal,verity", disk)
	tool(t, "mount", disk, directory(t, at))
	defer unmount(t, at)
	self, err := os.ReadFile("/proc/self/exe")
	check0(t, err)
	path := at + "/itself"
	check0(t, os.WriteFile(path, self, 0o755))
	tool(t, "fsverity", "enable", path)
	file := measure(t, path)
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true, Profile: engine.Strict()})
	defer func() {
		check0(t, e.Close())
		check0(t, os.RemoveAll(pins))
	}()
	activate(t, e, engine.Mode{Enforce: true}, "DEFAULT action=ALLOW", "DEFAULT op=EXECUTE action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW",
		"op=EXECUTE fsverity_digest="+file.String()+" action=ALLOW")
	found := newFindings(t, e)
	for _, action := range []strict.Switch{strict.Off, strict.Monitor} {
		p := engine.Strict()
		for _, r := range strict.All() {
			p.Exceptions = append(p.Exceptions, profile.Exception{Rule: r, Action: action, Identity: profile.Identity{File: file}})
		}
		check0(t, e.SetProfile(p))
		seen := map[strict.Rule]bool{}
		tries := &trier{program: path}
		for _, a := range techniques() {
			if a.rule == strict.None || seen[a.rule] && action == strict.Monitor {
				continue // one of a rule is enough
			}
			seen[a.rule] = true
			if a.name == uringPinned && os.Getenv("KERNEL_NAME") == "6.1" {
				if err := tries.try(t, a); err == nil || err.Error() != unix.EOPNOTSUPP.Error() {
					t.Errorf("%s: %v: this kernel pins no memory of files", a.name, err)
				}
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", a.name, action), func(t *testing.T) { testExcepted(t, found, tries, a, action) })
		}
		tries.end(t)
	}
}

func testExcepted(t *testing.T, found findings, tries *trier, a technique, action strict.Switch) {
	t.Helper()
	other := a.rule.Kills() && a.name != "make what is readable executable" // of a program that it starts
	err := tries.try(t, a)
	switch {
	case other && err != errKilled:
		t.Errorf("%v, want that another program is killed", err)
	case !other && err != nil:
		t.Error(err)
	}
	if action == strict.Off && !other {
		return
	}
	if ev, ok := found.next(); !ok || ev.Rule != a.rule || ev.Enforcing != other {
		t.Errorf("recorded %+v, %t", ev, ok)
	}
}
