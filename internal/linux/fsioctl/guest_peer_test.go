//go:build guest

package fsioctl_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/internal/linux/fsioctl"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// peerSets is how many files with random parameters the kernel is given.
const peerSets = 60

type set struct {
	params  fsverity.Params
	content []byte
	fsBlock int
	ours    bool // who enables
}

func (s set) String() string {
	return fmt.Sprintf("%d bytes, %s, block size %d of %d, salt %x, enabled by us: %v",
		len(s.content), s.params.Algorithm, s.params.BlockSize, s.fsBlock, s.params.Salt, s.ours)
}

// taken: what Linux takes of the parameters that the format has.
func (s set) taken() bool {
	if smallBlocks() {
		return s.params.BlockSize <= min(os.Getpagesize(), s.fsBlock)
	}
	return s.params.BlockSize == os.Getpagesize()
}

func randomSet(r *rand.Rand, fsBlock int, ours bool) set {
	s := set{fsBlock: fsBlock, ours: ours, params: fsverity.Params{
		Algorithm: []string{"sha256", "sha512"}[r.IntN(2)],
		BlockSize: []int{1 << 10, 2 << 10, 4 << 10, 4 << 10, 4 << 10, 8 << 10}[r.IntN(6)],
	}}
	if r.IntN(3) > 0 {
		s.params.Salt = random(r, 1+r.IntN(fsverity.MaxSaltSize))
	}
	switch r.IntN(4) {
	case 0: // about a block
		s.content = random(r, max(0, s.params.BlockSize-2+r.IntN(4)))
	case 1: // tiny, also empty
		s.content = random(r, r.IntN(3))
	default: // up to three levels of small blocks
		s.content = random(r, r.IntN(300<<10))
	}
	return s
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestKernelMeasuresTheSame: whoever enables fs-verity, with whatever parameters, the
// kernel has the digest, the descriptor and the hash tree that package fsverity
// computes, and takes what Check says it will.
func TestKernelMeasuresTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	blocks := []int{4096}
	if smallBlocks() {
		blocks = append(blocks, 1024, 2048)
	}
	taken := 0
	for i, block := range blocks {
		at := ext4(t, block, 64, "verity")
		for n := range peerSets / len(blocks) {
			s := randomSet(r, block, n%2 == 0)
			t.Run(fmt.Sprintf("%d-%d", i, n), func(t *testing.T) {
				t.Log(s)
				f := file(t, filepath.Join(at, fmt.Sprint(n)), s.content)
				if tryEnable(t, f, s) {
					taken++
					sameAsComputed(t, f, s.content, s.params)
				}
			})
		}
	}
	t.Logf("%d of %d taken", taken, peerSets)
	if taken == 0 {
		t.Error("the kernel took none")
	}
}

// tryEnable reports whether the file is enabled now.
func tryEnable(t *testing.T, f *os.File, s set) bool {
	t.Helper()
	check := fsioctl.Check(f, s.params, nil)
	if (check == nil) != s.taken() {
		t.Fatalf("Check: %v", check)
	}
	if !s.ours && s.taken() {
		args := []string{"enable", f.Name(), "--hash-alg=" + s.params.Algorithm, fmt.Sprintf("--block-size=%d", s.params.BlockSize)}
		if len(s.params.Salt) > 0 {
			args = append(args, fmt.Sprintf("--salt=%x", s.params.Salt))
		}
		run(t, "fsverity", args...)
		return true
	}
	err := fsioctl.Enable(f, s.params, nil)
	if (err == nil) != s.taken() || err != nil && !errors.Is(err, fsioctl.ErrRefusedParams) {
		t.Fatalf("Enable: %v", err)
	}
	if check != nil && check.Error() != err.Error() {
		t.Errorf("Check: %v, Enable: %v", check, err)
	}
	return err == nil
}
