package dmverity_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// An image gets its hashes appended; what comes out is the line of a policy and
// that of device-mapper.
func ExampleImage_Format() {
	image := &memory{data: make([]byte, 1<<20)}
	v := dmverity.Volume{Superblock: dmverity.Default(), HashOffset: 1 << 20}
	v.DataBlocks = 1 << 20 / int64(v.DataBlockSize)
	v.Salt = []byte("not so random")
	root, err := dmverity.Image{Volume: v, Data: image, Hashes: image}.Format(context.Background(), merkle.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("op=EXECUTE dmverity_roothash=%v action=ALLOW\n", root)
	line, err := dmverity.Table{Volume: v, Root: root, DataDevice: "/dev/loop0", HashDevice: "/dev/loop0"}.Line()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(line)
	// Output:
	// op=EXECUTE dmverity_roothash=sha256:4deeebb310c193c3fd0eb6af7174afeb96cb22a8d461bde63c67749a928c29c0 action=ALLOW
	// 0 2048 verity 1 /dev/loop0 /dev/loop0 4096 4096 256 257 sha256 4deeebb310c193c3fd0eb6af7174afeb96cb22a8d461bde63c67749a928c29c0 6e6f7420736f2072616e646f6d
}

// A block is lost and comes back.
func ExampleImage_Repair() {
	data, hashes, parity := &memory{data: make([]byte, 100<<12)}, &memory{}, &memory{}
	v := dmverity.Volume{Superblock: dmverity.Default()}
	v.DataBlocks = 100
	root, err := dmverity.Image{Volume: v, Data: data, Hashes: hashes}.Format(context.Background(), merkle.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fec := dmverity.FEC{Roots: dmverity.DefaultFECRoots}
	if err := (dmverity.Image{Volume: v, Data: data, Hashes: hashes, Parity: parity, FEC: &fec}).EncodeFEC(context.Background(), merkle.Options{}); err != nil {
		log.Fatal(err)
	}

	copy(data.data[5000:], "rust")
	mended, err := dmverity.Image{Volume: v, Data: data, Hashes: hashes, Parity: parity, FEC: &fec}.Repair(context.Background(), root, merkle.Options{})
	fmt.Println(mended, err)
	// Output: [data block 1 (bytes 4096 to 8191)] <nil>
}
