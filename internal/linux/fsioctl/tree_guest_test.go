//go:build guest

package fsioctl

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// treeChunk is how much of a hash tree is read at once, in bytes.
const treeChunk = 64 << 10

// CopyMerkleTree writes the file's hash tree, the root's level first, as fsverity.Build
// does. Errors are an *Error, or those of writing.
func CopyMerkleTree(w io.Writer, f *os.File) (written int64, err error) {
	buf := make([]byte, treeChunk)
	for {
		n, err := readMetadata(f, "read fs-verity hash tree", unix.FS_VERITY_METADATA_TYPE_MERKLE_TREE, uint64(written), buf)
		if err != nil || n == 0 {
			return written, err
		}
		n, err = w.Write(buf[:n])
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}
