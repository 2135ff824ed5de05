//go:build linux && guest

package devmapper_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/cli"
	"github.com/ipe-linux/ipe/internal/lab/await"
	"github.com/ipe-linux/ipe/internal/linux/devmapper"
)

// ipe runs the command and returns what it wrote and its exit code.
func ipe(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = cli.Main(args, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// run wants the command to do what it is asked.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := ipe(args...)
	if code != 0 {
		t.Fatalf("ipe %s: exit %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// refused wants the command to refuse, and to say so.
func refused(t *testing.T, words string, args ...string) {
	t.Helper()
	out, errs, code := ipe(args...)
	if code == 0 || !strings.Contains(errs, words) {
		t.Errorf("ipe %s: exit %d, %s%s, want a refusal that says %q", strings.Join(args, " "), code, out, errs, words)
	}
	nothingLeft(t)
}

func tryVeritysetup(args ...string) (string, error) {
	cmd := exec.Command("veritysetup", args...)
	cmd.Env = append(os.Environ(), "DM_DISABLE_UDEV=1", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func veritysetup(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryVeritysetup(args...)
	if err != nil {
		t.Fatalf("veritysetup %s: %v\n%s%s", strings.Join(args, " "), err, out, kernelLog())
	}
	return out
}

// kernelLog is the end of the kernel's log.
func kernelLog() string {
	b := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, b)
	if err != nil {
		return err.Error()
	}
	const enough = 1000
	return string(b[max(0, n-enough):n])
}

// number reads an environment variable.
func number(t *testing.T, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// source of random numbers, the same for the same DM_SEED.
func source(t *testing.T) *rand.Rand {
	seed := number(t, "DM_SEED")
	t.Logf("IPE_DM_SEED=%d", seed)
	return rand.New(rand.NewPCG(uint64(seed), 1))
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// volume is a formatted volume.
type volume struct {
	data, hash string
	content    []byte
	args       []string // that open needs
	root       string
}

// open are the arguments of open, of either program.
func (v *volume) open(name string, more ...string) []string {
	return slices.Concat([]string{"open", v.data, name, v.hash, v.root}, v.args, more)
}

// ours is open as ipe has it.
func (v *volume) ours(name string, more ...string) []string {
	return append([]string{"dmverity"}, v.open(name, more...)...)
}

// plainVolume is one of the usual kind, of some blocks of 4096 bytes.
func plainVolume(t *testing.T, r *rand.Rand, blocks int, more ...string) *volume {
	t.Helper()
	dir := t.TempDir()
	v := &volume{data: filepath.Join(dir, "data"), hash: filepath.Join(dir, "hash"), content: random(r, 4096*blocks)}
	write(t, v.data, v.content)
	run(t, append([]string{"dmverity", "format", v.data, v.hash, "--root-hash-file", v.data + ".root"}, more...)...)
	v.readRoot(t)
	return v
}

func (v *volume) readRoot(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(v.data + ".root")
	if err != nil {
		t.Fatal(err)
	}
	v.root = string(b)
}

// digest is the root hash, of sha256.
func (v *volume) digest(t *testing.T) digest.Digest {
	t.Helper()
	d, err := digest.Parse("sha256:" + v.root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// same wants a device to have a content, and to end with it.
func same(t *testing.T, name string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(devmapper.Path(name))
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%s: %v, %d bytes, want the %d that were written", name, err, len(got), len(content))
	}
}

// state is what status --json says.
type state struct {
	Name      string
	Active    bool
	Device    string
	Corrupted bool
	Signed    bool
	InUse     bool `json:"in_use"`
	Options   []string
	DataFile  string `json:"data_file"`
	Repaired  int64  `json:"fec_repaired"`
}

func status(t *testing.T, name string) (s state) {
	t.Helper()
	out, errs, code := ipe("dmverity", "status", "--json", name)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("status %s: exit code %d, %v in %s%s", name, code, err, out, errs)
	}
	return s
}

// sameStatus wants the lines of veritysetup.
func sameStatus(t *testing.T, name string) {
	t.Helper()
	trim := func(s string) (lines []string) {
		for line := range strings.Lines(s) {
			// It never tells of this file, though it means to, and its release here does
			// not know of the count.
			if !strings.HasPrefix(line, "  FEC loop: ") && !strings.HasPrefix(line, "  FEC repaired: ") {
				lines = append(lines, strings.TrimRight(line, " \n"))
			}
		}
		return lines
	}
	ours, theirs := trim(run(t, "dmverity", "status", name)), trim(veritysetup(t, "status", name))
	if !slices.Equal(ours, theirs) {
		t.Errorf("status of %q:\n%s\nwant\n%s", name, strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
}

// nothingLeft wants no device of any kind to be there.
func nothingLeft(t *testing.T) {
	t.Helper()
	if left := settled(t, 0); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if out := run(t, "dmverity", "status"); out != "" {
		t.Errorf("volumes are left:\n%s", out)
	}
}

// settled returns what is there when there are no more than n. Devices go in the kernel's
// own time.
func settled(t *testing.T, n int) (left []string) {
	t.Helper()
	await.Until(func() bool { left = leftovers(t); return len(left) <= n })
	return left
}

// leftovers are all devices, and the nodes of those of device-mapper.
func leftovers(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"/sys/block/dm-*", "/sys/block/loop*/loop/backing_file", devmapper.Dir + "/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == devmapper.Dir+"/control" })
}

// bad reads a device block by block and returns those that give EIO. All others must
// be as they were. It goes past the page cache, which reads more than it is asked for,
// and lets that fail as a whole.
func bad(t *testing.T, name string, content []byte) (all []int64) {
	t.Helper()
	f, err := os.OpenFile(devmapper.Path(name), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // for its alignment
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(block) }()
	for at := 0; at < len(content); at += len(block) {
		_, err := f.ReadAt(block, int64(at))
		switch {
		case errors.Is(err, unix.EIO):
			all = append(all, int64(at/len(block)))
		case err != nil:
			t.Fatal(err)
		case !bytes.Equal(block, content[at:at+len(block)]):
			t.Fatalf("%s: block %d is wrong, and was given all the same", name, at/len(block))
		}
	}
	return all
}

// TestLacking is for a kernel that lacks what is not in HAVE.
func TestLacking(t *testing.T) {
	want := map[string][]string{
		"": {"no device-mapper", "modprobe dm-mod"}, "dm-mod": {"no dm-verity", "modprobe dm-verity"},
		"dm-verity": {"no loop devices", "modprobe loop"},
	}[os.Getenv("HAVE")]
	v := plainVolume(t, rand.New(rand.NewPCG(1, 1)), 4)
	_, errs, code := ipe(v.ours("v")...)
	for _, w := range want {
		if code != 1 || !strings.Contains(errs, w) {
			t.Errorf("exit %d, %swant %q", code, errs, w)
		}
	}
	if os.Getenv("HAVE") == "dm-verity" {
		nothingLeft(t)
	}
}

// stop reads a bad block of a volume that ends the machine then.
func stop(t *testing.T, flag string) {
	v := plainVolume(t, rand.New(rand.NewPCG(1, 1)), 4)
	spoiled := slices.Clone(v.content)
	spoiled[5000] ^= 1
	write(t, v.data, spoiled)
	run(t, v.ours("v", flag)...)
	_, err := os.ReadFile(devmapper.Path("v"))
	t.Fatal(fmt.Errorf("still here: %w", err))
}

func TestStopRestart(t *testing.T) { stop(t, "--restart-on-corruption") }

func TestStopPanic(t *testing.T) { stop(t, "--on-corruption=panic") }
