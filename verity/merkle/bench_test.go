package merkle_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// BenchmarkBuild hashes 64 MiB in memory. The plain hash of the same bytes on one
// processor is what it can be held against.
func BenchmarkBuild(b *testing.B) {
	data := make([]byte, 64<<20)
	for i := range data {
		data[i] = byte(i*i>>8 | 1)
	}
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			sha256.Sum256(data)
		}
	})
	for _, salt := range []int{0, 32, 64} {
		tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096, Salt: make([]byte, salt)}, int64(len(data)))
		if err != nil {
			b.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("salt=%d/workers=%d", salt, workers), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := tree.Build(b.Context(), bytes.NewReader(data), nil, merkle.Options{Workers: workers}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
