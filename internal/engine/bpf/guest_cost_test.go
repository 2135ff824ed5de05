//go:build guest

package bpf_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
	"github.com/ipe-linux/ipe/internal/lab/attack"
	"github.com/ipe-linux/ipe/internal/profile"
	"github.com/ipe-linux/ipe/internal/strict"
)

// Where the programs are that are measured, and a volume with the same and with this one.
const (
	costFiles  = "/files"
	costVolume = "/cost"
	costMemory = "/cost-tmpfs"
)

// Each is done this often in each of some processes.
const (
	costRounds   = 400
	executions   = 100
	costChildren = 3
)

// costly is one thing that processes do.
type costly struct {
	name string
	// prepare gives what is measured.
	prepare func() (func() error, error)
}

func costs() []costly {
	return []costly{
		{"map-file", maps(costFiles + "/sealed")},
		{"map-volume", maps(costVolume + "/sealed")},
		{"protect-file", protects(costFiles + "/sealed")},
		{"protect-volume", protects(costVolume + "/sealed")},
		{"open-tmpfs-to-write", opensOften(costMemory+"/file", unix.O_WRONLY)},
		{"open-tmpfs-to-read", opensOften(costMemory+"/file", unix.O_RDONLY)},
		{"open-procfs-to-write", opensOften("/proc/self/comm", unix.O_WRONLY)},
		{"open-procfs-to-read", opensOften("/proc/self/comm", unix.O_RDONLY)},
		{"brk", func() (func() error, error) { return func() error { return raw(unix.SYS_BRK, 0, 0, 0) }, nil }},
	}
}

func raw(number, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func maps(name string) func() (func() error, error) {
	return func() (func() error, error) {
		f, err := os.Open(name)
		return func() error { return mapOnce(f) }, err
	}
}

// protects makes a page of a file executable, and takes that away.
func protects(name string) func() (func() error, error) {
	return func() (func() error, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return nil, err
		}
		at := uintptr(unsafe.Pointer(&mem[0]))
		return func() error {
			if err := raw(unix.SYS_MPROTECT, at, 4096, unix.PROT_READ|unix.PROT_EXEC); err != nil {
				return err
			}
			return raw(unix.SYS_MPROTECT, at, 4096, unix.PROT_READ)
		}, nil
	}
}

func opensOften(name string, flags uintptr) func() (func() error, error) {
	return func() (func() error, error) {
		path, err := unix.BytePtrFromString(name)
		return func() error {
			fd, _, errno := unix.RawSyscall(unix.SYS_OPEN, uintptr(unsafe.Pointer(path)), flags, 0)
			if errno != 0 {
				return errno
			}
			return raw(unix.SYS_CLOSE, fd, 0, 0)
		}, err
	}
}

// executor is a program that forks, executes another one and waits for it, so many times,
// and writes after each what the processor's counter has advanced by.
func executor(path string, times uint32) []byte {
	const counter = "\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0" // rax = rdtsc
	child := attack.Executes(path)
	loop := slices.Concat([]byte(counter), []byte{0x49, 0x89, 0xc4}, // r12 = rax
		[]byte{0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x0f, 0x84, 0, 0, 0, 0},                                                 // fork, the child jumps over the rest
		[]byte{0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x4d, 0x31, 0xd2, 0xb8, 61, 0, 0, 0, 0x0f, 0x05}, // wait4(-1, 0, 0, 0)
		[]byte(counter), []byte{0x4c, 0x29, 0xe0, 0x50, // push rax - r12
			0xbf, 1, 0, 0, 0, 0x48, 0x89, 0xe6, 0xba, 8, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x58, // write(1, rsp, 8)
			0x41, 0xff, 0xcd, 0x0f, 0x85, 0, 0, 0, 0}) // once more
	const jump = len(counter) + 3 + 15
	code := slices.Concat(binary.LittleEndian.AppendUint32([]byte{0x41, 0xbd}, times), loop, attack.Exits(), child) // r13d = times
	first := len(code) - len(child) - len(attack.Exits()) - len(loop)
	binary.LittleEndian.PutUint32(code[first+jump-4:], uint32(len(loop)-jump+len(attack.Exits())))
	binary.LittleEndian.PutUint32(code[first+len(loop)-4:], uint32(-len(loop)))
	return attack.Program(code, false)
}

// measureExecutions is how long each execution took.
func measureExecutions(t *testing.T, executor string) (took []int64) {
	t.Helper()
	out, err := exec.Command(executor).Output()
	check0(t, err)
	for ; len(out) >= 8; out = out[8:] {
		took = append(took, int64(binary.LittleEndian.Uint64(out)))
	}
	return took[len(took)/5:]
}

// TestMeasureStrict prints what BenchmarkStrict reports.
func TestMeasureStrict(t *testing.T) {
	if os.Getenv(measured) != "" {
		measureCosts(t)
		return
	}
	check0(t, os.WriteFile("/proc/sys/kernel/randomize_va_space", []byte("0"), 0))
	root := costPrograms(t)
	bare := costsInChildren(t, "bare", nil)
	costsOfProfiles(t, root, bare)
	costsInChildren(t, "bare-again", nil)
}

// costPrograms mounts what is measured, and gives the volume's root hash.
func costPrograms(t *testing.T) digest.Digest {
	t.Helper()
	tool(t, "mount", "-t", "tmpfs", "none", directory(t, costMemory))
	check0(t, os.WriteFile(costMemory+"/file", nil, 0o600))
	tool(t, "mount", "-o", "loop", "/images/files.img", directory(t, costFiles))
	for _, name := range []string{"small", "other"} {
		check0(t, os.WriteFile(costFiles+"/"+name, append(attack.Program(attack.Exits(), false), name...), 0o755))
		tool(t, "fsverity", "enable", costFiles+"/"+name)
	}
	tool(t, "fsverity", "enable", costFiles+"/sealed")
	image := "/images" + costVolume + ".img"
	disk := blankDisks(t, 48<<20, image)[0]
	tool(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", disk)
	tool(t, "mount", disk, directory(t, costVolume))
	check0(t, os.WriteFile(costVolume+"/executor", executor(costVolume+"/small", executions), 0o755))
	check0(t, os.WriteFile(costVolume+"/executor-file", executor(costFiles+"/small", executions), 0o755))
	for from, name := range map[string]string{"/proc/self/exe": "itself", costFiles + "/small": "small", costFiles + "/sealed": "sealed"} {
		content, err := os.ReadFile(from)
		check0(t, err)
		check0(t, os.WriteFile(costVolume+"/"+name, content, 0o755))
	}
	unmount(t, costVolume)
	freeDisks(t, disk)
	return mountSealed(t, image, costVolume, "ext4", "ro")
}

// costsOfProfiles has one policy active under one profile after the other, and leaves nothing.
func costsOfProfiles(t *testing.T, root digest.Digest, bare map[string]int64) {
	t.Helper()
	const pins = "/sys/fs/bpf/cost"
	e := openWith(t, bpf.Options{PinDir: pins, KeepCaches: true})
	activate(t, e, enforcing, "DEFAULT action=DENY", "op=EXECUTE fsverity_digest="+measure(t, costFiles+"/sealed").String()+" action=ALLOW",
		"op=EXECUTE fsverity_digest="+measure(t, costFiles+"/small").String()+" action=ALLOW", "op=EXECUTE dmverity_roothash="+root.String()+" action=ALLOW")
	file := func(name string) profile.Exception {
		return profile.Exception{Identity: profile.Identity{File: measure(t, costFiles+name)}}
	}
	onVolume := func(path string) profile.Exception {
		return profile.Exception{Identity: profile.Identity{Root: root, Path: path}}
	}
	noOpen := engine.Profile{Rules: strict.Enforced()}
	noOpen.Rules[strict.ProcMem] = strict.Off
	others, excepted := engine.Strict(), engine.Strict()
	others.Exceptions = []profile.Exception{file("/other"), onVolume("/other")}
	excepted.Exceptions = []profile.Exception{file("/small"), onVolume("/small"), onVolume("/executor"), onVolume("/executor-file")}
	for _, p := range []struct {
		name string
		is   engine.Profile
	}{
		{"compat", engine.Profile{}},
		{"rules", noOpen},
		{"strict", engine.Strict()},
		{"excepting-others", others},
		{"excepting-it", excepted},
	} {
		check0(t, e.SetProfile(p.is))
		costsInChildren(t, p.name, bare)
	}
	check0(t, errors.Join(e.Close(), os.RemoveAll(pins)))
	time.Sleep(20 * time.Second) // until the kernel has freed the programs; this clock does not wait for who sleeps
}

// costsInChildren prints what each thing costs above bare.
func costsInChildren(t *testing.T, profile string, bare map[string]int64) map[string]int64 {
	t.Helper()
	took := make(map[string][]int64)
	for range costChildren {
		costsInChild(t, took)
		for name, executor := range executors {
			took[name] = append(took[name], measureExecutions(t, executor)...)
		}
	}
	all := make(map[string]int64)
	for name, calls := range took {
		all[name] = typical(name, calls)
		metric(profile+"/"+name, all[name]-bare[name])
	}
	return all
}

// executors fork, execute a small program and wait for it.
var executors = map[string]string{"execute-file": costVolume + "/executor-file", "execute-volume": costVolume + "/executor"}

// costsInChild adds how long each call took in a process of its own.
func costsInChild(t *testing.T, took map[string][]int64) {
	t.Helper()
	cmd := exec.Command(costVolume+"/itself", "-test.run=^TestMeasureStrict$")
	cmd.Env = append(os.Environ(), measured+"=all", "GOGC=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var one map[string][]int64
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&one); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, calls := range one {
		took[name] = append(took[name], calls...)
	}
}

// typical is the most frequent value of calls. Of executions no two are alike: it is what
// a quarter of them do not reach, for what comes in between makes them longer only.
func typical(name string, took []int64) int64 {
	if _, ok := executors[name]; ok {
		slices.Sort(took)
		return took[len(took)/4]
	}
	count := make(map[int64]int)
	for _, v := range took {
		count[v]++
	}
	return mode(count)
}

// measureCosts prints how long each call took.
func measureCosts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	all := make(map[string][]int64)
	for _, c := range costs() {
		all[c.name] = measureCost(t, c)
	}
	check0(t, json.NewEncoder(os.Stdout).Encode(all))
}

func measureCost(t *testing.T, c costly) []int64 {
	t.Helper()
	do, err := c.prepare()
	check0(t, err)
	took := make([]int64, 0, costRounds)
	for i := range costRounds + costRounds/4 {
		start := time.Now()
		err := do()
		d := time.Since(start)
		check0(t, err)
		if i >= costRounds/4 {
			took = append(took, int64(d))
		}
	}
	return took
}
