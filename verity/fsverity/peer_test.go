package fsverity_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// peerSets is how many sets of parameters are put to fsverity(1).
const peerSets = 500

// memory is a file in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

// set is one set of parameters with a file.
type set struct {
	params fsverity.Params
	file   []byte
}

func (s set) String() string { return fmt.Sprintf("%d bytes, %+v", len(s.file), s.params) }

func randomSet(r *rand.Rand) set {
	s := set{params: fsverity.Params{
		Algorithm: []string{"", "sha256", "sha512"}[r.IntN(3)],
		BlockSize: []int{0, 64, 128, 256, 512, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20}[r.IntN(10)],
		Salt:      make([]byte, r.IntN(33)),
	}}
	if s.params.Algorithm == "sha512" && s.params.BlockSize == 64 {
		s.params.BlockSize = 128 // two digests
	}
	block := max(s.params.BlockSize, 4096)
	switch r.IntN(4) {
	case 0: // about a block
		s.file = make([]byte, max(0, block-2+r.IntN(4)))
	case 1: // tiny
		s.file = make([]byte, r.IntN(3))
	default:
		s.file = make([]byte, r.IntN(min(40*block, 2<<20)))
	}
	fill(r, s.params.Salt)
	fill(r, s.file[r.IntN(len(s.file)+1):])
	return s
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// peer is what fsverity(1) makes of a file.
type peer struct{ line, signed, descriptor, tree string }

func runPeer(t *testing.T, dir string, s set) (p peer) {
	t.Helper()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, s.file, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"digest", file, "--out-descriptor=" + file + ".desc", "--out-merkle-tree=" + file + ".tree"}
	if s.params.Algorithm != "" {
		args = append(args, "--hash-alg="+s.params.Algorithm)
	}
	if s.params.BlockSize != 0 {
		args = append(args, fmt.Sprintf("--block-size=%d", s.params.BlockSize))
	}
	if len(s.params.Salt) > 0 {
		args = append(args, "--salt="+hex.EncodeToString(s.params.Salt))
	}
	run := func(more ...string) string {
		out, err := exec.CommandContext(t.Context(), "fsverity", append(args, more...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return string(out)
	}
	p.signed = run("--compact", "--for-builtin-sig")
	p.line = run()
	for to, from := range map[*string]string{&p.descriptor: ".desc", &p.tree: ".tree"} {
		b, err := os.ReadFile(file + from)
		if err != nil {
			t.Fatal(err)
		}
		*to = string(b)
	}
	return p
}

// TestPeer compares digests, descriptors and trees with those of fsverity(1).
func TestPeer(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 4))
	dir := t.TempDir()
	for i := range peerSets {
		s := randomSet(r)
		want := runPeer(t, dir, s)
		var tree memory
		d, err := fsverity.Build(t.Context(), bytes.NewReader(s.file), int64(len(s.file)), &tree, s.params, merkle.Options{})
		if err != nil {
			t.Fatalf("%d: %s: %v", i, s, err)
		}
		sum, err := d.FileDigest()
		if err != nil {
			t.Fatal(err)
		}
		bin, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := fsverity.FormattedDigest(sum)
		if err != nil {
			t.Fatal(err)
		}
		got := peer{
			line:       sum.String() + " " + filepath.Join(dir, "file") + "\n",
			signed:     hex.EncodeToString(formatted) + "\n",
			descriptor: string(bin), tree: string(tree.data),
		}
		if got != want {
			t.Fatalf("%d: %s:\ngot  %s%s\nwant %s%s", i, s, got.line, got.signed, want.line, want.signed)
		}
		if again := writerDigest(t, s); again != strings.Fields(want.line)[0] {
			t.Fatalf("%d: %s: Writer says %s, want %s", i, s, again, want.line)
		}
	}
}

func writerDigest(t *testing.T, s set) string {
	t.Helper()
	w, err := fsverity.NewWriter(s.params)
	if err != nil {
		t.Fatal(err)
	}
	half := len(s.file) / 2
	w.Write(s.file[:half])
	w.Write(s.file[half:])
	sum, err := w.FileDigest()
	if err != nil {
		t.Fatal(err)
	}
	return sum.String()
}
