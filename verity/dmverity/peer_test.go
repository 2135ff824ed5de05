package dmverity_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// number returns how much of something a test does: what an environment variable
// says, or else a number that suits everyday.
func number(t *testing.T, variable string, everyday int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return everyday
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// peerAlgorithms are those that Debian's veritysetup has as well.
var peerAlgorithms = []string{
	"sha256", "sha256", "sha512", "sha384", "sha224", "sha1",
	"sha3-224", "sha3-256", "sha3-384", "sha3-512", "blake2b-512", "blake2s-256",
}

// memory is a device in memory.
type memory struct {
	mu   sync.Mutex
	data []byte
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

// set is one set of parameters with its devices as they are before. Those that
// are one and the same are the same pointer.
type set struct {
	dmverity.Volume
	limit              bool // the volume is a part of the data device
	fec                *dmverity.FEC
	data, hash, parity *memory
}

func (s *set) String() string {
	return fmt.Sprintf("%+v, limit %v, FEC %+v, data %d, hash %d bytes, one device: %v", s.Volume, s.limit, s.fec, len(s.data.data), len(s.hash.data), s.data == s.hash)
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomSet(r *rand.Rand) *set {
	sizes := []int{512, 1024, 2048, 4096, 4096, 4096, 8192, 16384, 32768, 65536}
	s := &set{Volume: dmverity.Volume{Superblock: dmverity.Superblock{
		UUID: dmverity.UUID(random(r, 16)), HashType: r.IntN(2), Algorithm: peerAlgorithms[r.IntN(len(peerAlgorithms))],
		DataBlockSize: sizes[r.IntN(len(sizes))], HashBlockSize: sizes[r.IntN(len(sizes))],
		Salt: random(r, []int{0, 1, 32, 32, 64, 128, 256, r.IntN(257)}[r.IntN(8)]),
	}}}
	wantFEC := r.IntN(2) == 0
	if wantFEC {
		s.HashBlockSize = s.DataBlockSize
	}
	blocks := 2 + r.IntN(min(700, 1<<19/s.DataBlockSize))
	if r.IntN(20) == 0 && !wantFEC {
		blocks = 1
	}
	s.DataBlocks = int64(blocks)
	s.data = &memory{data: random(r, blocks*s.DataBlockSize)}
	if r.IntN(4) == 0 {
		clear(s.data.data[len(s.data.data)/3:])
	}
	s.NoSuperblock = r.IntN(4) == 0
	if s.NoSuperblock {
		s.UUID = dmverity.UUID{}
	}
	s.placeHashes(r)
	if wantFEC {
		s.placeParity(r)
	}
	return s
}

// placeHashes decides where the hash area is, and what else is on its device.
func (s *set) placeHashes(r *rand.Rand) {
	align := 512
	if s.NoSuperblock {
		align = s.HashBlockSize
	}
	if r.IntN(3) == 0 && s.DataBlocks > 1 { // it cannot write a superblock into a part of a page
		s.hash = s.data
		s.limit = true
		s.HashOffset = int64((len(s.data.data)+align-1)/align*align + align*r.IntN(3))
		return
	}
	if r.IntN(4) == 0 { // a part of the data device
		s.limit = true
		s.data.data = append(s.data.data, random(r, r.IntN(5000))...)
	}
	s.hash = &memory{data: random(r, 4096*r.IntN(2)*r.IntN(4))}
	if s.DataBlocks > 1 { // as above
		s.HashOffset = int64(r.IntN(2) * align * r.IntN(5))
	}
}

// placeParity decides where parity goes. The covered part of the hash device ends
// with the device, or where parity begins on it.
func (s *set) placeParity(r *rand.Rand) {
	block := int64(s.DataBlockSize)
	end, err := s.HashEnd()
	if err != nil {
		panic(err)
	}
	s.fec = &dmverity.FEC{Roots: 2 + r.IntN(23)}
	if r.IntN(3) == 0 {
		s.parity = s.hash
		s.fec.Offset = end/block*block + block*int64(1+r.IntN(3))
		s.fec.OnHashDevice = true
		// veritysetup reads what it covers, so it must be there.
		if n := int(s.fec.Offset) - len(s.hash.data); n > 0 {
			s.hash.data = append(s.hash.data, make([]byte, n)...)
		}
		return
	}
	s.parity = &memory{}
	s.fec.Offset = block * int64(r.IntN(2)*r.IntN(3))
	s.fec.HashEnd = max(end, int64(len(s.hash.data)))
}

// files writes the devices to files and returns the arguments that name them.
func (s *set) files(t *testing.T, dir string) (data, hash, parity string) {
	t.Helper()
	names := map[*memory]string{}
	for _, d := range []struct {
		name string
		dev  *memory
	}{{"data", s.data}, {"hash", s.hash}, {"parity", s.parity}} {
		if d.dev == nil || names[d.dev] != "" {
			continue
		}
		names[d.dev] = filepath.Join(dir, d.name)
		if err := os.WriteFile(names[d.dev], d.dev.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names[s.data], names[s.hash], names[s.parity]
}

// args are what veritysetup is told beside the devices.
func (s *set) args(parity string) []string {
	a := []string{fmt.Sprintf("--hash-offset=%d", s.HashOffset)}
	if s.NoSuperblock {
		a = append(a, "--no-superblock")
	}
	if s.fec != nil {
		a = append(a, "--fec-device="+parity, fmt.Sprintf("--fec-offset=%d", s.fec.Offset), fmt.Sprintf("--fec-roots=%d", s.fec.Roots))
	}
	return a
}

// params are those that a superblock would hold.
func (s *set) params() []string {
	a := []string{
		"--hash=" + s.Algorithm, fmt.Sprintf("--format=%d", s.HashType),
		fmt.Sprintf("--data-block-size=%d", s.DataBlockSize), fmt.Sprintf("--hash-block-size=%d", s.HashBlockSize),
	}
	if len(s.Salt) > 0 {
		a = append(a, fmt.Sprintf("--salt=%x", s.Salt))
	} else {
		a = append(a, "--salt=-")
	}
	if s.limit {
		a = append(a, fmt.Sprintf("--data-blocks=%d", s.DataBlocks))
	}
	return a
}

func veritysetup(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "veritysetup", args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:"+os.Getenv("PATH"), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &stderr)
	}
	return stdout.String() + stderr.String(), err
}

// format does what "veritysetup format" does, and returns what it prints.
func (s *set) format(t *testing.T) (digest.Digest, string) {
	t.Helper()
	root, err := dmverity.Image{Volume: s.Volume, Data: s.data, Hashes: s.hash}.Format(t.Context(), merkle.Options{})
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	if s.fec != nil {
		if err := (dmverity.Image{Volume: s.Volume, Data: s.data, Hashes: s.hash, Parity: s.parity, FEC: s.fec}).EncodeFEC(t.Context(), merkle.Options{}); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	dump, err := dmverity.Dump(s.Volume, root, s.fec)
	if err != nil {
		t.Fatal(err)
	}
	return root, dump
}

// TestPeer puts random sets of parameters, IPE_VERITY_SETS of them, to
// veritysetup(8). It compares devices and output with those of veritysetup(8), and lets each
// verify what the other wrote.
func TestPeer(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 6))
	for i := range number(t, "IPE_VERITY_SETS", 40) {
		comparePeer(t, i, randomSet(r), t.TempDir())
	}
}

func comparePeer(t *testing.T, i int, s *set, dir string) {
	t.Helper()
	data, hash, parity := s.files(t, dir)
	args := append(s.params(), s.args(parity)...)
	if !s.NoSuperblock {
		args = append(args, "--uuid="+s.UUID.String())
	}
	out, err := veritysetup(t, append([]string{"format", data, hash}, args...)...)
	if err != nil {
		t.Fatalf("%d: %s: %v", i, s, err)
	}
	root, dump := s.format(t)
	// What it says of page sizes is not about what it wrote.
	_, out, _ = strings.Cut(out, "VERITY header information for ")
	_, lines, _ := strings.Cut(out, "\n")
	lines, _, _ = strings.Cut(lines, "WARNING")
	if diff := cmp.Diff(lines, dump); diff != "" {
		t.Fatalf("%d: %s: (-veritysetup +ours)\n%s", i, s, diff)
	}
	for name, d := range map[string]*memory{data: s.data, hash: s.hash, parity: s.parity} {
		if d != nil {
			sameFile(t, fmt.Sprintf("%d: %s", i, s), name, d.data)
		}
	}
	verifyOther(t, i, s, hash, root)
	// The other way round; the files are the same by now.
	for name, d := range map[string]*memory{data: s.data, hash: s.hash, parity: s.parity} {
		if d == nil {
			continue
		}
		if err := os.WriteFile(name, d.data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = s.args(parity)
	if s.NoSuperblock {
		args = append(args, s.params()...)
	}
	if out, err := veritysetup(t, append([]string{"verify", data, hash, fmt.Sprintf("%x", root.Bytes())}, args...)...); err != nil {
		t.Fatalf("%d: %s: veritysetup verify: %s%v", i, s, out, err)
	}
}

// sameFile compares a device with a file. Where there is no tree, veritysetup
// fills the superblock's page with zeros.
func sameFile(t *testing.T, name, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := bytes.CutPrefix(want, got)
	if !ok || len(rest) >= 4096 || len(bytes.Trim(rest, "\x00")) > 0 {
		at := 0
		for at < min(len(want), len(got)) && want[at] == got[at] {
			at++
		}
		t.Fatalf("%s: %s differs from byte %d on; %d and %d bytes", name, filepath.Base(file), at, len(want), len(got))
	}
}

// verifyOther reads and verifies what veritysetup wrote.
func verifyOther(t *testing.T, i int, s *set, hash string, root digest.Digest) {
	t.Helper()
	b, err := os.ReadFile(hash)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Volume
	if !s.NoSuperblock {
		if v, err = dmverity.ReadSuperblock(bytes.NewReader(b), s.HashOffset); err != nil {
			t.Fatalf("%d: %s: %v", i, s, err)
		}
		if v.UUID != s.UUID || v.DataBlocks != s.DataBlocks || !bytes.Equal(v.Salt, s.Salt) {
			t.Fatalf("%d: %s: read %+v", i, s, v)
		}
	}
	if err := (dmverity.Image{Volume: v, Data: s.data, Hashes: dmverity.ReadOnly(bytes.NewReader(b))}).Verify(t.Context(), root, nil, merkle.Options{}); err != nil {
		t.Fatalf("%d: %s: %v", i, s, err)
	}
	if s.fec != nil {
		n, err := dmverity.Image{Volume: v, Data: s.data, Hashes: dmverity.ReadOnly(bytes.NewReader(b)), Parity: s.parity, FEC: s.fec}.CheckFEC(t.Context(), merkle.Options{})
		if n != 0 || err != nil {
			t.Fatalf("%d: %s: FEC of an intact volume: %d, %v", i, s, n, err)
		}
	}
	wrong := digest.New(s.Algorithm, make([]byte, root.Size()))
	var corrupt *merkle.CorruptError
	if err := (dmverity.Image{Volume: v, Data: s.data, Hashes: dmverity.ReadOnly(bytes.NewReader(b))}).Verify(t.Context(), wrong, nil, merkle.Options{}); !errors.As(err, &corrupt) || corrupt.Count != 1 {
		t.Fatalf("%d: %s: wrong root hash: %v", i, s, err)
	}
}
