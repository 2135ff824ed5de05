package measure

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/author/walk"
	"github.com/ipe-linux/ipe/verity/fsverity"
)

// TestCutMeanwhile: a file that ends before its size is told of in words.
func TestCutMeanwhile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := walk.Tree{Args: []string{name}}
	for f := range tree.Files {
		h, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		_, err = (&Measurer{Params: fsverity.Params{Algorithm: "sha256", BlockSize: 4096}}).small(h, 10)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "read 3 bytes of 10: the file ends before, ") {
			t.Error(err)
		}
	}
}
