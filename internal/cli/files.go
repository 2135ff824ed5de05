package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ipe-linux/ipe/internal/atomicfile"
)

// maxInput bounds what is read of one file. A kernel takes 64 KiB at most; texts
// and texts with many comments may be larger.
const maxInput = 16 << 20

// read returns the content of a file, or of standard input for "-".
func (a *app) read(name string) ([]byte, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, maxInput)
	}
	return b, nil
}

// rewrite replaces an existing file atomically and keeps its permissions. A
// symbolic link is followed, so that the file it leads to is what changes.
func rewrite(name string, data []byte) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	st, err := os.Stat(target)
	if err != nil {
		return err
	}
	return atomicfile.Write(atomicfile.OS{}, target, data, st.Mode().Perm())
}
