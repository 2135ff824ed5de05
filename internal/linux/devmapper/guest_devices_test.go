//go:build linux && guest

package devmapper_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/devmapper"
)

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
		if _, errs, code := ipe(args...); code != 1 || !strings.Contains(errs, "Device v already exists") {
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
	run(t, "dmverity", "close", "v", "--cancel-deferred")
	f.Close()
	same(t, "v", v.content) // it would have gone when that was closed
	run(t, "dmverity", "close", "v", "--cancel-deferred")
	if f, err = os.Open(devmapper.Path("v")); err != nil {
		t.Fatal(err)
	}
	run(t, "dmverity", "remove", "--deferred", "v")
	f.Close()
	nothingLeft(t)
	if s := status(t, "v"); s.Active {
		t.Error("it is still there")
	}
}

// TestGuestPeerWords opens volumes in the old words of veritysetup(8), and its new ones.
func TestGuestPeerWords(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	run(t, "dmverity", "--shared", "create", "v", v.data, v.hash, v.root)
	same(t, "v", v.content)
	run(t, "dmverity", "remove", "v")
	nothingLeft(t)
	_, errs, code := ipe("dmverity", "open", v.data, "v", v.hash, v.root, "--restart-on-corruption", "--error-as-corruption")
	if code != 0 && !strings.Contains(errs, "restart or panic on I/O errors needs dm-verity") {
		t.Fatalf("exit %d, %s", code, errs)
	}
	if code == 0 {
		if s := status(t, "v"); !slices.Equal(s.Options, []string{"restart_on_corruption", "restart_on_error"}) {
			t.Errorf("options %q", s.Options)
		}
		run(t, "dmverity", "close", "v")
	}
	// A superblock of zero data blocks stands for all that there are.
	b, err := os.ReadFile(v.hash)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[72:80])
	write(t, v.hash, b)
	run(t, v.ours("v")...)
	same(t, "v", v.content)
	run(t, "dmverity", "close", "v")
	refused(t, "no such device", "dmverity", "close", "--cancel-deferred", "v")
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
	refused(t, "the hash tree ends behind the end of the device", cut.ours("v")...)
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

// TestGuestRace opens volumes by one name at the same time: one gets it, and the
// others must leave it alone.
func TestGuestRace(t *testing.T) {
	r := source(t)
	const many = 4
	var volumes [many]*volume
	for i := range volumes {
		volumes[i] = plainVolume(t, r, 8)
	}
	var won [many]bool
	var all sync.WaitGroup
	for i, v := range volumes {
		all.Go(func() {
			_, errs, code := ipe(v.ours("v")...)
			won[i] = code == 0
			if code != 0 && !strings.Contains(errs, "Device v already exists") {
				t.Errorf("exit %d, %s", code, errs)
			}
		})
	}
	all.Wait()
	winner := slices.Index(won[:], true)
	if winner < 0 || slices.Contains(won[winner+1:], true) {
		t.Fatalf("won: %v", won)
	}
	same(t, "v", volumes[winner].content)
	if left := settled(t, 4); len(left) != 4 { // the device, its node, two loop devices
		t.Errorf("there are %v", left)
	}
	run(t, "dmverity", "close", "v")
	nothingLeft(t)
}

// TestGuestSectors has a device with sectors that are larger than blocks.
func TestGuestSectors(t *testing.T) {
	v := plainVolume(t, source(t), 8, "--data-block-size=1024", "--hash-block-size=2048")
	free, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	n, err := unix.IoctlRetInt(int(free.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(v.data)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loop, err := os.Open(fmt.Sprint("/dev/loop", n))
	if err != nil {
		t.Fatal(err)
	}
	c := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 4096, Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &c); err != nil {
		t.Fatal(err)
	}
	onLoop := *v
	onLoop.data = loop.Name()
	_, errs, code := ipe(onLoop.ours("v")...)
	if code != 1 || !strings.Contains(errs, "data blocks of 1024 bytes on "+loop.Name()+", which has sectors of 4096") {
		t.Errorf("exit %d, %s", code, errs)
	}
	loop.Close()
	run(t, v.ours("v")...) // as a file, it has any
	same(t, "v", v.content)
	run(t, "dmverity", "close", "v")
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
