package fsverity_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// BenchmarkPeer measures a file of IPE_VERITY_MIB, 64 if it is not set, with
// fsverity(1) and with this package, in turn, and reports the medians and how many
// times faster the latter is.
func BenchmarkPeer(b *testing.B) {
	size := int64(64 << 20)
	if n, err := strconv.Atoi(os.Getenv("IPE_VERITY_MIB")); err == nil {
		size = int64(n) << 20
	}
	name := filepath.Join(b.TempDir(), "file")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for range size >> 20 {
		_, _ = r.Read(buf) // never fails
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	var theirs, ours []time.Duration
	for b.Loop() {
		start := time.Now()
		if out, err := exec.CommandContext(b.Context(), "fsverity", "digest", name).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		middle := time.Now()
		if _, err := fsverity.FileDigest(b.Context(), f, size, fsverity.Params{}, merkle.Options{}); err != nil {
			b.Fatal(err)
		}
		theirs, ours = append(theirs, middle.Sub(start)), append(ours, time.Since(middle))
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	peer, own := theirs[len(theirs)/2], ours[len(ours)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(peer.Microseconds())/1e3, "peer-ms")
	b.ReportMetric(float64(own.Microseconds())/1e3, "ours-ms")
	b.ReportMetric(peer.Seconds()/own.Seconds(), "times")
	b.ReportMetric(float64(size)/1e6/own.Seconds(), "MB/s")
}
