package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/author/walk"
)

// TestCutMeanwhile: a file that ends before its size is told of in words.
func TestCutMeanwhile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = (&measurer{}).small(walk.HandleOf(f), 10)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "read 3 bytes of 10: the file ends before, ") {
		t.Error(err)
	}
}
