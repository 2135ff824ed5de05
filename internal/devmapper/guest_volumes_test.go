//go:build linux && guest

package devmapper_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ipe-linux/ipe/internal/devmapper"
)

// randomVolume formats a volume with random parameters, by ipe or by veritysetup.
func randomVolume(t *testing.T, r *rand.Rand, byUs bool) *volume {
	t.Helper()
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	dir := t.TempDir()
	v := &volume{data: filepath.Join(dir, "data"), hash: filepath.Join(dir, "hash")}
	dataBlock, hashBlock := 512<<r.IntN(4), 512<<r.IntN(4)
	one := r.IntN(3) == 0 // device for both
	if one {
		hashBlock = max(hashBlock, dataBlock) // or veritysetup makes a loop device of too large sectors
	}
	blocks := 2 + r.IntN(300)
	v.content = random(r, dataBlock*blocks)
	all := v.content
	params := []string{
		"--hash=" + pick("sha256", "sha256", "sha512", "sha384", "sha224", "sha1", "sha3-256", "sha3-512"), "--format=" + pick("0", "1"),
		fmt.Sprint("--data-block-size=", dataBlock), fmt.Sprint("--hash-block-size=", hashBlock),
		"--salt=" + pick("-", fmt.Sprintf("%x", random(r, 1+r.IntN(256)))),
	}
	bare := r.IntN(3) == 0
	align := 512
	if bare {
		align = hashBlock
		v.args = append(v.args, "--no-superblock")
	}
	switch offset := align * r.IntN(4); {
	case one:
		v.hash = v.data
		offset += (len(all) + align - 1) / align * align
		v.args = append(v.args, fmt.Sprint("--hash-offset=", offset))
		params = append(params, fmt.Sprint("--data-blocks=", blocks))
	case r.IntN(2) == 0:
		v.args = append(v.args, fmt.Sprint("--hash-offset=", offset))
	}
	write(t, v.data, all)
	format := slices.Concat([]string{"format", v.data, v.hash, "--root-hash-file=" + v.data + ".root"}, params, v.args)
	if byUs {
		run(t, append([]string{"dmverity"}, format...)...)
	} else {
		veritysetup(t, format...)
	}
	v.readRoot(t)
	if bare {
		v.args = append(v.args, params...)
	}
	t.Logf("by us %v: %v", byUs, format[4:])
	return v
}

// TestGuestVolumes has each program open what each has formatted, and close what each
// has opened.
func TestGuestVolumes(t *testing.T) {
	r := source(t)
	for i := range int(number(t, "DM_SETS")) {
		byUs, closedByUs := i%2 == 0, i%4 < 2
		v := randomVolume(t, r, byUs)
		done := func(ours bool) {
			t.Helper()
			if ours {
				run(t, "dmverity", "close", "v")
			} else {
				veritysetup(t, "close", "v")
			}
			nothingLeft(t)
		}
		if out := run(t, v.ours("v")...); out != "/dev/mapper/v\n" {
			t.Errorf("open printed %q", out)
		}
		same(t, "v", v.content)
		sameStatus(t, "v")
		done(closedByUs)
		veritysetup(t, v.open("v")...)
		same(t, "v", v.content)
		sameStatus(t, "v")
		done(!closedByUs)
	}
}

func TestGuestOptions(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	for flags, want := range map[string]string{
		"": "", "--ignore-corruption": "ignore_corruption", "--on-corruption=ignore": "ignore_corruption",
		"--restart-on-corruption --ignore-zero-blocks": "restart_on_corruption ignore_zero_blocks",
		"--panic-on-corruption --check-at-most-once":   "panic_on_corruption check_at_most_once",
		"--on-corruption=panic":                        "panic_on_corruption",
	} {
		run(t, v.ours("v", strings.Fields(flags)...)...)
		if got := strings.Join(status(t, "v").Options, " "); got != want {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
		sameStatus(t, "v")
		run(t, "dmverity", "close", "/dev/mapper/v")
	}
	nothingLeft(t)
	// Older kernels do not have these.
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err != nil || strings.HasPrefix(string(release), "6.1.") {
		refused(t, "needs dm-verity 1.10.0 (Linux 6.12)", v.ours("v", "--on-error=panic")...)
		return
	}
	run(t, v.ours("v", "--on-error=panic")...)
	if got := status(t, "v").Options; !slices.Equal(got, []string{"panic_on_error"}) {
		t.Errorf("%v", got)
	}
	run(t, "dmverity", "close", "v")
}

func TestGuestNames(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	names := []string{"a b", "ü", `back\slash`, "x%y", "#+-.:=@_", "-", "~", "line\nbreak", "\xff", strings.Repeat("n", 127), strings.Repeat(" ", 31)}
	for _, name := range names {
		run(t, "dmverity", "open", "--", v.data, name, v.hash, v.root)
		same(t, name, v.content)
		s := status(t, "/dev/mapper/"+name)
		if s.Name != name && name != "\xff" || !s.Active || s.Corrupted || s.DataFile != v.data {
			t.Errorf("%q: %+v", name, s)
		}
		if out, err := tryVeritysetup("status", "--", name); err != nil || !strings.Contains(out, "is active") {
			t.Errorf("%q: veritysetup: %v %s", name, err, out)
		}
		if strings.Count(run(t, "dmverity", "status"), "\n") != 1 {
			t.Errorf("%q is not one line of the list", name)
		}
		veritysetup(t, "close", "--", name)
		nothingLeft(t)
	}
	run(t, v.ours(`a\x20b`)...)
	if s := status(t, "a b"); s.Name != "a b" {
		t.Errorf("%+v", s)
	}
	run(t, "dmverity", "close", "a b")
	nothingLeft(t)
	for _, name := range []string{"", ".", "..", "control", "a/b", strings.Repeat("n", 128), strings.Repeat(" ", 32), `a\x20 b`} {
		if _, errs, code := ipe("dmverity", "open", "--", v.data, name, v.hash, v.root); code != 2 {
			t.Errorf("%q: exit %d, %s", name, code, errs)
		}
	}
	nothingLeft(t)
}

func TestGuestBusy(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	out, _, code := ipe("dmverity", "status", "v")
	if code != 1 || out != "/dev/mapper/v is inactive.\n" {
		t.Errorf("exit %d, %s", code, out)
	}
	refused(t, "no such device", "dmverity", "close", "v")
	run(t, v.ours("v")...)
	for _, args := range [][]string{v.ours("v"), v.ours("v", "--ignore-corruption")} {
		if _, errs, code := ipe(args...); code != 1 || !strings.Contains(errs, "a device of this name exists") {
			t.Errorf("exit %d, %s", code, errs)
		}
	}
	same(t, "v", v.content) // it is left alone
	run(t, v.ours("again")...)
	if out := run(t, "dmverity", "status"); strings.Count(out, "verified  unsigned  sha256:"+v.root+"\n") != 2 {
		t.Errorf("list:\n%s", out)
	}
	if out := run(t, "__complete", "dmverity", "close", ""); !strings.HasPrefix(out, "v\nagain\n") && !strings.HasPrefix(out, "again\nv\n") {
		t.Errorf("completion:\n%s", out)
	}
	run(t, "dmverity", "close", "again")
	f, err := os.Open(devmapper.Path("v"))
	if err != nil {
		t.Fatal(err)
	}
	if _, errs, code := ipe("dmverity", "close", "v"); code != 1 || !strings.Contains(errs, "--deferred removes it") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if !status(t, "v").InUse {
		t.Error("not in use")
	}
	sameStatus(t, "v")
	if out := run(t, "dmverity", "close", "v", "--deferred"); out != "/dev/mapper/v is in use, and goes when it is not\n" {
		t.Errorf("%s", out)
	}
	if s := status(t, "v"); !s.Active {
		t.Error("it is gone, and in use")
	}
	f.Close()
	if s := status(t, "v"); s.Active {
		t.Error("it is still there")
	}
	nothingLeft(t)
}

// TestGuestFailures wants nothing to be left of what could not be opened.
func TestGuestFailures(t *testing.T) {
	r := source(t)
	v := plainVolume(t, r, 8)
	other := plainVolume(t, r, 8)
	v.root, other.root = other.root, v.root
	refused(t, "the root hash is of another volume", v.ours("v")...)
	// What is not looked at before, the kernel finds when it is read.
	run(t, v.ours("v", "--ignore-corruption")...)
	same(t, "v", v.content)
	if !status(t, "v").Corrupted {
		t.Error("a volume with another root hash is not corrupted")
	}
	sameStatus(t, "v")
	run(t, "dmverity", "close", "v")
	unknown := plainVolume(t, r, 8, "--hash=blake2b-512")
	refused(t, "this kernel has no hash algorithm blake2b-512", unknown.ours("v")...)
	large := plainVolume(t, r, 8, "--data-block-size=8192")
	refused(t, "none larger than a page of 4096", large.ours("v")...)
	short := plainVolume(t, r, 8)
	if err := os.Truncate(short.data, 4096*7); err != nil {
		t.Fatal(err)
	}
	refused(t, "32768 bytes of data, and", short.ours("v")...)
	cut := plainVolume(t, r, 300)
	if err := os.Truncate(cut.hash, 4096*2); err != nil {
		t.Fatal(err)
	}
	refused(t, "the hash tree ends at", cut.ours("v")...)
	good := plainVolume(t, r, 8)
	refused(t, "neither a regular file nor a block device", "dmverity", "open", "/dev/null", "v", good.hash, good.root)
	// A leftover in the node's place goes.
	if err := os.Symlink("/nowhere", devmapper.Path("v")); err != nil {
		t.Fatal(err)
	}
	run(t, good.ours("v")...)
	same(t, "v", good.content)
	run(t, "dmverity", "close", "v")
	nothingLeft(t)
}

// TestGuestStacked makes a volume of a device that is a volume itself.
func TestGuestStacked(t *testing.T) {
	v := plainVolume(t, source(t), 40)
	run(t, v.ours("lower")...)
	upper := &volume{data: "/dev/mapper/lower", hash: filepath.Join(t.TempDir(), "hash")}
	root := upper.hash + ".root"
	run(t, "dmverity", "format", upper.data, upper.hash, "--root-hash-file", root)
	b, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	upper.root = string(b)
	run(t, upper.ours("upper")...)
	same(t, "upper", v.content)
	sameStatus(t, "upper")
	sameStatus(t, "lower")
	if out := run(t, "dmverity", "status", "upper"); !strings.Contains(out, "  data device: /dev/mapper/lower\n") {
		t.Errorf("%s", out)
	}
	if _, errs, code := ipe("dmverity", "close", "lower"); code != 1 || !strings.Contains(errs, "device or resource busy") {
		t.Errorf("exit %d, %s", code, errs)
	}
	run(t, "dmverity", "close", "upper")
	run(t, "dmverity", "close", "lower")
	nothingLeft(t)
}

// TestGuestMany opens volumes at the same time, which all want the next loop device.
func TestGuestMany(t *testing.T) {
	r := source(t)
	const many = 8
	var volumes []*volume
	for range many {
		volumes = append(volumes, plainVolume(t, r, 8))
	}
	var all sync.WaitGroup
	for i, v := range volumes {
		all.Go(func() {
			if _, errs, code := ipe(v.ours(fmt.Sprint("v", i))...); code != 0 {
				t.Errorf("exit %d, %s", code, errs)
			}
		})
	}
	all.Wait()
	for i, v := range volumes {
		same(t, fmt.Sprint("v", i), v.content)
		run(t, "dmverity", "close", fmt.Sprint("v", i))
	}
	nothingLeft(t)
}

// TestUnsigned is for a dm-verity with require_signatures.
func TestUnsigned(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	refused(t, "takes no volume without a signature", v.ours("v")...)
}

// TestDirect wants loop devices that keep no second copy of what is read.
func TestDirect(t *testing.T) {
	if err := os.Mkdir("/files", 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", "/image", "/files").CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	v := plainVolume(t, source(t), 100)
	v.data = "/files/data"
	write(t, v.data, v.content)
	run(t, v.ours("v")...)
	same(t, "v", v.content)
	out := run(t, "dmverity", "status", "v")
	_, device, _ := strings.Cut(out, "data device: /dev/")
	device, _, _ = strings.Cut(device, "\n")
	direct, err := os.ReadFile("/sys/block/" + device + "/loop/dio")
	if err != nil || string(direct) != "1\n" {
		t.Errorf("%s reads past the page cache: %q, %v", device, direct, err)
	}
	run(t, "dmverity", "close", "v")
}
