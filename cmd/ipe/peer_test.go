package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkPeer runs ipe as it is installed and veritysetup(8) or fsverity(1) in
// turn: on one file of IPE_VERITY_MIB, 64 if it is not set, and on a tree of so many
// small files that they are 20,000 beside a file of 1 GiB. It reports the medians of
// both in milliseconds of real time, and how many times faster the former is; how
// much it hashes in percent of what openssl-speed(1), in turn with both, says of one
// processor, times the number of them; how much memory it had at most; and the time
// of processors that both took, which says more where others use them, too.
func BenchmarkPeer(b *testing.B) {
	p := newPeers(b)
	format := []string{"dmverity", "format", p.data, p.hash}
	b.Run("format", func(b *testing.B) {
		p.compare(b, p.size, format, "veritysetup", "format", p.data, p.theirs)
	})
	b.Run("verify", func(b *testing.B) {
		root := filepath.Join(p.dir, "root")
		p.run(b, p.ipe, append(format, "--root-hash-file", root)...)
		digits, err := os.ReadFile(root)
		if err != nil {
			b.Fatal(err)
		}
		p.compare(b, p.size, []string{"dmverity", "verify", p.data, p.hash, string(digits)}, "veritysetup", "verify", p.data, p.hash, string(digits))
	})
	b.Run("fec", func(b *testing.B) {
		parity := filepath.Join(p.dir, "parity")
		p.compare(b, p.size, append(format, "--fec-device", parity), "veritysetup", "format", p.data, p.theirs, "--fec-device", parity+"2")
	})
	b.Run("digest", func(b *testing.B) {
		p.compare(b, p.size, []string{"fsverity", "digest", p.data}, "fsverity", "digest", p.data)
	})
	b.Run("tree", func(b *testing.B) {
		tree, size := smallFiles(b, int(p.size>>20)*20_000/1024)
		p.compare(b, size, []string{"fsverity", "digest", tree}, "sh", "-c", `find "$0" -type f -print0 | xargs -0 fsverity digest`, tree)
	})
}

// peers is what is measured.
type peers struct {
	dir, ipe           string
	data, hash, theirs string // the file, and the hash areas of both
	size               int64
}

func newPeers(b *testing.B) *peers {
	b.Helper()
	dir := b.TempDir()
	p := &peers{dir: dir, ipe: filepath.Join(dir, "ipe"), data: filepath.Join(dir, "data"),
		hash: filepath.Join(dir, "hash"), theirs: filepath.Join(dir, "theirs"), size: 64 << 20}
	if n, err := strconv.Atoi(os.Getenv("IPE_VERITY_MIB")); err == nil {
		p.size = int64(n) << 20
	}
	b.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	b.Setenv("CGO_ENABLED", "0")
	p.run(b, "go", "build", "-trimpath", "-o", p.ipe, ".")
	random := rand.NewChaCha8([32]byte{})
	f, err := os.Create(p.data)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for range p.size >> 20 {
		_, _ = random.Read(buf) // never fails
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return p
}

// smallFiles makes n files of 1 byte to 16 KiB, a hundred in a directory, and
// returns how many bytes there are.
func smallFiles(b *testing.B, n int) (dir string, size int64) {
	b.Helper()
	dir = b.TempDir()
	random := rand.NewChaCha8([32]byte{})
	lengths := rand.New(random)
	buf := make([]byte, 16<<10)
	for i := range n {
		sub := filepath.Join(dir, strconv.Itoa(i/100))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		data := buf[:1+lengths.IntN(len(buf))]
		_, _ = random.Read(data) // never fails
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), data, 0o644); err != nil {
			b.Fatal(err)
		}
		size += int64(len(data))
	}
	return dir, size
}

// compare runs both in turn, having run both once so that what they read is in
// memory.
func (p *peers) compare(b *testing.B, size int64, ours []string, peer string, args ...string) {
	b.Helper()
	p.run(b, peer, args...)
	memory := p.memory(b, ours)
	var theirs, own, theirCPU, ownCPU []time.Duration
	var speeds []float64
	for b.Loop() {
		took, cpu := p.run(b, peer, args...)
		theirs, theirCPU = append(theirs, took), append(theirCPU, cpu)
		took, cpu = p.run(b, p.ipe, ours...)
		own, ownCPU = append(own, took), append(ownCPU, cpu)
		speeds = append(speeds, opensslSpeed(b))
	}
	t, o, speed := median(theirs), median(own), median(speeds)
	rate := float64(size) / o.Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(t), "peer-ms")
	b.ReportMetric(milliseconds(o), "ours-ms")
	b.ReportMetric(milliseconds(median(theirCPU)), "peer-cpu-ms")
	b.ReportMetric(milliseconds(median(ownCPU)), "ours-cpu-ms")
	b.ReportMetric(t.Seconds()/o.Seconds(), "times")
	b.ReportMetric(rate/1e6, "MB/s")
	b.ReportMetric(100*rate/speed/float64(runtime.NumCPU()), "%openssl")
	b.ReportMetric(memory, "MiB")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// run says how long a program took, and how much of processors.
func (p *peers) run(b *testing.B, name string, args ...string) (took, cpu time.Duration) {
	b.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %v: %v: %s", name, args, err, &stderr)
	}
	return time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

var highWater = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)

// memory returns how many MiB of ipe are resident at most, as it says itself while
// it runs: what wait(2) would say begins with the size of this program here.
func (p *peers) memory(b *testing.B, args []string) (most float64) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), p.ipe, args...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // gone at the end
		if m := highWater.FindSubmatch(status); m != nil {
			n, _ := strconv.ParseFloat(string(m[1]), 64) // digits
			most = n / 1024
		}
		select {
		case err := <-done:
			if err != nil {
				b.Fatal(err)
			}
			return most
		case <-time.After(2 * time.Millisecond):
		}
	}
}

var bytesPerSecond = regexp.MustCompile(`(?m)^\+F:\d+:sha256:([\d.]+)$`)

// opensslSpeed returns what one processor hashes with libcrypto, in bytes a second.
func opensslSpeed(b *testing.B) float64 {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "openssl", "speed", "-mr", "-seconds", "1", "-bytes", "16384", "-evp", "sha256").Output()
	if err != nil {
		b.Fatal(err)
	}
	m := bytesPerSecond.FindSubmatch(out)
	if m == nil {
		b.Fatalf("openssl speed: %s", out)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func median[T time.Duration | float64](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}
