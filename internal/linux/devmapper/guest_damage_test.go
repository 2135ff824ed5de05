//go:build linux && guest

package devmapper_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/internal/linux/abi"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// spoil changes random bytes of n random blocks of a file, from one block on.
func spoil(t *testing.T, r *rand.Rand, path string, from, n, bytes int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		at := 4096 * (from + r.IntN(len(b)/4096-from))
		for range bytes {
			b[at+r.IntN(4096)] ^= byte(1 + r.IntN(255))
		}
	}
	write(t, path, b)
}

// devices are the files of a volume, open.
func (v *volume) devices(t *testing.T) (data, hash *os.File, sb dmverity.Volume) {
	t.Helper()
	var files []*os.File
	for _, name := range []string{v.data, v.hash} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	sb, err := dmverity.ReadSuperblock(files[1], 0)
	if err != nil {
		t.Fatal(err)
	}
	return files[0], files[1], sb
}

// untrusted are the data blocks of which Verify says that they cannot be trusted.
func (v *volume) untrusted(t *testing.T) (all []int64) {
	t.Helper()
	data, hash, sb := v.devices(t)
	var corrupt *merkle.CorruptError
	err := dmverity.Image{Volume: sb, Data: data, Hashes: hash}.Verify(t.Context(), v.digest(t), func(b merkle.BadBlock) {
		for i := range b.Count {
			all = append(all, b.First+i)
		}
	}, merkle.Options{})
	if err != nil && !errors.As(err, &corrupt) {
		t.Fatal(err)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestGuestCorruption wants the kernel to refuse exactly the blocks that Verify names.
func TestGuestCorruption(t *testing.T) {
	r := source(t)
	for i := range int(number(t, "DM_SETS")) {
		v := plainVolume(t, r, 200+r.IntN(400), "--format="+fmt.Sprint(i%2))
		spoil(t, r, v.data, 0, i%4, 1+r.IntN(3))
		if i%3 > 0 { // a block of the lowest level: superblock and top stay
			spoil(t, r, v.hash, 2, 1, 1)
		}
		want := v.untrusted(t)
		if data, hash, sb := v.devices(t); (dmverity.Image{Volume: sb, Data: data, Hashes: hash}).VerifyEdge(v.digest(t)) != nil {
			refused(t, "or the hash area is damaged", v.ours("v")...) // how large the volume is cannot be told
			veritysetup(t, v.open("v")...)
		} else {
			run(t, v.ours("v")...)
		}
		if status(t, "v").Corrupted {
			t.Error("corrupted before anything is read")
		}
		if got := bad(t, "v", v.content); !slices.Equal(got, want) {
			t.Errorf("EIO for %v, Verify names %v", got, want)
		}
		if status(t, "v").Corrupted != (len(want) > 0) {
			t.Errorf("corrupted is wrong with %d bad blocks", len(want))
		}
		sameStatus(t, "v")
		run(t, "dmverity", "close", "v")
	}
	nothingLeft(t)
	v := plainVolume(t, r, 300)
	b, err := os.ReadFile(v.hash)
	if err != nil {
		t.Fatal(err)
	}
	b[4096+77] ^= 1
	write(t, v.hash, b)
	refused(t, "or the hash area is damaged", v.ours("v")...)
}

// fecVolume has parity on a device of its own, or behind the hashes.
func fecVolume(t *testing.T, r *rand.Rand, roots int, apart bool) (v *volume, f dmverity.FEC) {
	t.Helper()
	f = dmverity.FEC{Roots: roots}
	blocks := 150 + r.IntN(300)
	args := []string{fmt.Sprint("--fec-roots=", roots)}
	if apart {
		v = plainVolume(t, r, blocks)
		args = append(args, "--fec-device="+v.data+".parity")
	} else {
		v = plainVolume(t, r, blocks)
		f.OnHashDevice, f.Offset = true, 4096*int64(8+r.IntN(3))
		if err := os.Truncate(v.hash, f.Offset); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--fec-device="+v.hash, fmt.Sprint("--fec-offset=", f.Offset))
	}
	run(t, append([]string{"dmverity", "format", v.data, v.hash, "--root-hash-file", v.data + ".root"}, args...)...)
	v.readRoot(t)
	v.args = args
	return v, f
}

// TestGuestFEC wants the kernel to restore by our parity what that can restore in one look,
// and to give wrong data never. A repair may restore more: each block that it has mended on
// the disk is one fewer to mend, and the kernel mends none on the disk.
func TestGuestFEC(t *testing.T) {
	r := source(t)
	for i := range int(number(t, "DM_SETS")+1) / 2 { // each takes long without a real processor
		v, f := fecVolume(t, r, 2+r.IntN(23), i%2 == 0)
		hashes, err := os.ReadFile(v.hash)
		if err != nil {
			t.Fatal(err)
		}
		damage, n := []int{1, 4096, 3, 40}[i%4], 1+r.IntN(4)
		spoil(t, r, v.data, 0, n, damage)
		worst := n // what one code word may hold, as parity counts it
		if i%3 == 0 {
			worst += 2 // the kernel looks for erasures among blocks of data alone
			spoiled := slices.Clone(hashes)
			spoiled[4096*2+r.IntN(4096)] ^= 0x55
			write(t, v.hash, spoiled)
		}
		spoiled := slices.Collect(v.damaged(t))
		run(t, v.ours("v", "--check-at-most-once")...)
		sameStatus(t, "v")
		failed := bad(t, "v", v.content)
		wantRepaired(t, len(spoiled)-len(failed))
		run(t, "dmverity", "close", "v")
		veritysetup(t, v.open("v")...)
		if again := bad(t, "v", v.content); !slices.Equal(again, failed) {
			t.Errorf("opened by us, %v fail, and by veritysetup, %v", failed, again)
		}
		veritysetup(t, "close", "v")
		restored := v.repair(t, f)
		t.Logf("%d roots, %d of %d blocks damaged by %d bytes: restored %v, the kernel fails %d", f.Roots, n, len(v.content)/4096, damage, restored, len(failed))
		if restored && len(failed) > 0 && worst <= f.Roots {
			t.Errorf("the kernel has not restored %v of %d damaged", failed, len(spoiled))
		}
		if !restored && len(failed) == 0 {
			t.Error("the kernel has restored what we cannot")
		}
	}
	nothingLeft(t)
	v, _ := fecVolume(t, r, 2, true)
	if err := os.Truncate(v.data+".parity", 4096); err != nil {
		t.Fatal(err)
	}
	refused(t, "parity ends at", v.ours("v")...)
}

// wantRepaired wants the status of "v" to tell of so many repairs, or more, since blocks of
// the tree are among them and a block may be read again; older kernels tell nothing.
func wantRepaired(t *testing.T, least int) {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	have, err := abi.ParseVersion(unix.ByteSliceToString(u.Release[:]))
	if err != nil {
		t.Fatal(err)
	}
	got, text := status(t, "v").Repaired, run(t, "dmverity", "status", "v")
	line := fmt.Sprintf("  FEC repaired: %d [events]\n", got)
	switch tells := have.Compare(abi.Version{Major: 6, Minor: 19}) >= 0; {
	case tells && (got < int64(least) || !strings.Contains(text, line)):
		t.Errorf("%d repairs, want %d or more, in\n%s", got, least, text)
	case !tells && (got != -1 || strings.Contains(text, "FEC repaired")):
		t.Errorf("Linux %v tells of %d repairs, in\n%s", have, got, text)
	}
}

// damaged are the data blocks that are not as they were.
func (v *volume) damaged(t *testing.T) func(yield func(int) bool) {
	t.Helper()
	b, err := os.ReadFile(v.data)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(int) bool) {
		for at := 0; at < len(b); at += 4096 {
			if !bytes.Equal(b[at:at+4096], v.content[at:at+4096]) && !yield(at/4096) {
				return
			}
		}
	}
}

// repair is ours; it reports whether all data is as it was.
func (v *volume) repair(t *testing.T, f dmverity.FEC) bool {
	t.Helper()
	data, hash, sb := v.devices(t)
	parity := hash
	if !f.OnHashDevice {
		var err error
		if parity, err = os.Open(v.data + ".parity"); err != nil {
			t.Fatal(err)
		}
		defer parity.Close()
	}
	_, err := dmverity.Image{Volume: sb, Data: data, Hashes: hash, Parity: parity, FEC: &f}.Repair(t.Context(), v.digest(t), merkle.Options{})
	if err != nil && !errors.Is(err, dmverity.ErrUncorrectable) {
		t.Fatal(err)
	}
	return len(slices.Collect(v.damaged(t))) == 0
}
