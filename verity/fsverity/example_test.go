package fsverity_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/ipe-linux/ipe/verity/fsverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

// The file digest, as a policy names it.
func ExampleFileDigest() {
	file := strings.NewReader("#!/bin/sh\necho hello\n")
	d, err := fsverity.FileDigest(context.Background(), file, file.Size(), fsverity.Params{}, merkle.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("op=EXECUTE fsverity_digest=%s action=ALLOW\n", d)
	// Output: op=EXECUTE fsverity_digest=sha256:daed8bbe8f15ca510bb068b565e9ed2eec568dce5529d4742b955f1b6dd6d06b action=ALLOW
}

// A file is measured while it is written, here to nowhere.
func ExampleWriter() {
	w, err := fsverity.NewWriter(fsverity.Params{Algorithm: "sha512", BlockSize: 1024})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(io.MultiWriter(io.Discard, w), strings.NewReader(strings.Repeat("x", 3000))); err != nil {
		log.Fatal(err)
	}
	d := w.Descriptor()
	sum, err := d.FileDigest()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.FileSize, "bytes")
	fmt.Println(sum)
	// Output:
	// 3000 bytes
	// sha512:eae0faaec674a53869542e17d191db1766e8755b5559ad0174f11cf1aa1de1eacee25817525c81ccf5a4c208bc6b424571b8c83c1695b7c3b156e04a6e45a16b
}

// What a built-in signature must cover; package sign makes it from this.
func ExampleFormattedDigest() {
	empty := strings.NewReader("")
	d, err := fsverity.FileDigest(context.Background(), empty, 0, fsverity.Params{}, merkle.Options{})
	if err != nil {
		log.Fatal(err)
	}
	content, err := fsverity.FormattedDigest(d)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hex.EncodeToString(content))
	// Output: 4653566572697479010020003d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95
}
