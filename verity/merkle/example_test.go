package merkle_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/ipe-linux/ipe/verity/merkle"
)

// A tree is built, a byte of the data changes, and the block is found.
func ExampleTree_Verify() {
	data := bytes.Repeat([]byte("data"), 5000)
	tree, err := merkle.New(merkle.Params{Algorithm: "sha256", DataBlockSize: 4096, HashBlockSize: 4096}, int64(len(data)))
	if err != nil {
		log.Fatal(err)
	}
	var hashes memory
	root, err := tree.Build(context.Background(), bytes.NewReader(data), &hashes, merkle.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tree.DataBlocks(), "data blocks,", tree.Blocks(), "hash block")

	data[10000] ^= 1
	err = tree.Verify(context.Background(), bytes.NewReader(data), bytes.NewReader(hashes.data), root, nil, merkle.Options{})
	fmt.Println(err)
	// Output:
	// 5 data blocks, 1 hash block
	// verify hash tree: data block 2 (bytes 8192 to 12287) is corrupt
}
