package dmverity_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// BenchmarkPeer formats and verifies a file of IPE_VERITY_MIB, 64 if it is not
// set, with veritysetup(8) and with this package, in turn, and reports the medians
// and how many times faster the latter is. Both write their hash tree to disk and
// wait for it.
func BenchmarkPeer(b *testing.B) {
	size := int64(64 << 20)
	if n, err := strconv.Atoi(os.Getenv("IPE_VERITY_MIB")); err == nil {
		size = int64(n) << 20
	}
	dir := b.TempDir()
	data, hash, parity := filepath.Join(dir, "data"), filepath.Join(dir, "hash"), filepath.Join(dir, "parity")
	bigFile(b, data, size)
	v := dmverity.Volume{Superblock: dmverity.Default()}
	v.DataBlocks, v.Salt = size/4096, dmverity.NewSalt()
	fec := dmverity.FEC{Roots: 2}
	salt := fmt.Sprintf("--salt=%x", v.Salt)

	b.Run("format", func(b *testing.B) {
		compare(b, size, []string{"format", data, hash, salt}, func() {
			withFiles(b, func(f []*os.File) {
				if _, err := dmverity.Format(b.Context(), f[0], f[1], v, merkle.Options{}); err != nil {
					b.Fatal(err)
				}
				if err := f[1].Sync(); err != nil {
					b.Fatal(err)
				}
			}, data, hash)
		})
	})
	var root digest.Digest
	withFiles(b, func(f []*os.File) {
		var err error
		if root, err = dmverity.Format(b.Context(), f[0], f[1], v, merkle.Options{}); err != nil {
			b.Fatal(err)
		}
	}, data, hash)
	b.Run("verify", func(b *testing.B) {
		compare(b, size, []string{"verify", data, hash, fmt.Sprintf("%x", root.Bytes())}, func() {
			withFiles(b, func(f []*os.File) {
				if err := dmverity.Verify(b.Context(), f[0], f[1], v, root, nil, merkle.Options{}); err != nil {
					b.Fatal(err)
				}
			}, data, hash)
		})
	})
	b.Run("fec", func(b *testing.B) {
		compare(b, size, []string{"format", data, hash, salt, "--fec-device=" + parity}, func() {
			withFiles(b, func(f []*os.File) {
				if _, err := dmverity.Format(b.Context(), f[0], f[1], v, merkle.Options{}); err != nil {
					b.Fatal(err)
				}
				if err := dmverity.EncodeFEC(b.Context(), f[0], f[1], f[2], v, fec, merkle.Options{}); err != nil {
					b.Fatal(err)
				}
				if err := f[2].Sync(); err != nil {
					b.Fatal(err)
				}
			}, data, hash, parity)
		})
	})
}

// bigFile writes a file of random bytes.
func bigFile(b *testing.B, name string, size int64) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	r := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for range size >> 20 {
		if _, err := r.Read(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

func withFiles(b *testing.B, do func([]*os.File), names ...string) {
	b.Helper()
	var files []*os.File
	for _, n := range names {
		f, err := os.OpenFile(n, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	do(files)
}

// compare runs both in turn.
func compare(b *testing.B, size int64, peer []string, ours func()) {
	b.Helper()
	path := "/usr/sbin/veritysetup"
	var theirs, mine []time.Duration
	for b.Loop() {
		start := time.Now()
		if out, err := exec.CommandContext(b.Context(), path, peer...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		middle := time.Now()
		ours()
		theirs, mine = append(theirs, middle.Sub(start)), append(mine, time.Since(middle))
	}
	p, m := median(theirs), median(mine)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(p.Microseconds())/1e3, "peer-ms")
	b.ReportMetric(float64(m.Microseconds())/1e3, "ours-ms")
	b.ReportMetric(p.Seconds()/m.Seconds(), "times")
	b.ReportMetric(float64(size)/1e6/m.Seconds(), "MB/s")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
