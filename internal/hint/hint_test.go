package hint_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipe-linux/ipe/internal/hint"
)

type hinted struct {
	text string
	next error
}

func (hinted) Error() string   { return "wrong" }
func (h hinted) Hint() string  { return h.text }
func (h hinted) Unwrap() error { return h.next }

func TestHints(t *testing.T) {
	plain := errors.New("plain")
	deep := fmt.Errorf("a: %w", errors.Join(plain, hinted{"one", fmt.Errorf("b: %w", hinted{"two", nil})}, hinted{"three", plain}))
	for _, tt := range []struct {
		name  string
		err   error
		first string
		all   []string
	}{
		{"nil", nil, "", nil},
		{"plain", plain, "", nil},
		{"itself", hinted{"one", nil}, "one", []string{"one"}},
		{"wrapped", deep, "one", []string{"one", "two", "three"}},
		// What says that it knows none is not talked over by what it wraps.
		{"none known", hinted{"", hinted{"two", nil}}, "", []string{"two"}},
	} {
		if got := hint.Of(tt.err); got != tt.first {
			t.Errorf("%s: Of = %q, want %q", tt.name, got, tt.first)
		}
		if got := hint.All(tt.err); !slices.Equal(got, tt.all) {
			t.Errorf("%s: All = %q, want %q", tt.name, got, tt.all)
		}
	}
}
