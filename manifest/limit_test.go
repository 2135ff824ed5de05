package manifest

import (
	"errors"
	"strings"
	"testing"
)

// TestTooLarge: a manifest of the most bytes is read, and one more is refused.
func TestTooLarge(t *testing.T) {
	text := `{"path":"a","digest":"sha256:3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95","size":1,"mode":"0755"}` + "\n"
	read := func(Entry) error { return nil }
	if err := parse(strings.NewReader(text), int64(len(text)), read); err != nil {
		t.Error(err)
	}
	if err := parse(strings.NewReader(text), int64(len(text))-1, read); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}
