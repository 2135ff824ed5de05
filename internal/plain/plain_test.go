package plain_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ipe-linux/ipe/internal/plain"
)

func TestName(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"/usr/bin/true", "/usr/bin/true"},
		{"a name with spaces", "a name with spaces"},
		{"Grüße", "Grüße"},
		{"", `""`},
		{" a", `" a"`},
		{"a ", `"a "`},
		{"a\nipe: error: forged", `"a\nipe: error: forged"`},
		{"no\x1b]0;title\x07file", `"no\x1b]0;title\afile"`},
		{"a\tb", `"a\tb"`},
		{`a\nb`, `"a\\nb"`},
		{`"a"`, `"\"a\""`},
		{"not UTF-8 \xff", `"not UTF-8 \xff"`},
		{"C1 \u009b", `"C1 \u009b"`},
		{"right to left \u202e", `"right to left \u202e"`},
		{"no break\u00a0", `"no break\u00a0"`},
		{"\ufffd", "\ufffd"},
	} {
		if got := plain.Name(tt.name); got != tt.want {
			t.Errorf("Name(%q) = %s, want %s", tt.name, got, tt.want)
		}
	}
}

// wrapping is an error whose text does not hold that of its cause.
type wrapping struct{ cause error }

func (w wrapping) Error() string { return "own\ntext" }
func (w wrapping) Unwrap() error { return w.cause }

func TestError(t *testing.T) {
	forged := "a\nipe: error: forged"
	path := &fs.PathError{Op: "open", Path: forged, Err: fs.ErrNotExist}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("as it is"), "as it is"},
		{errors.Join(errors.New("one"), errors.New("two"), path), `one; two; open "a\nipe: error: forged": file does not exist`},
		{path, `open "a\nipe: error: forged": file does not exist`},
		{fmt.Errorf("manifest: %w", path), `manifest: open "a\nipe: error: forged": file does not exist`},
		{fmt.Errorf("%s: %w", forged, fs.ErrExist), `a\nipe: error: forged: file already exists`},
		{fmt.Errorf("policy %q: %w: %w", forged, fs.ErrExist, path),
			`policy "a\nipe: error: forged": file already exists: open "a\nipe: error: forged": file does not exist`},
		{&os.LinkError{Op: "rename", Old: "x", New: "y\x1b", Err: fs.ErrExist}, `rename x "y\x1b": file already exists`},
		{wrapping{path}, `own\ntext`},
		{fmt.Errorf("x: %w", errors.Join(errors.New("a\nb"), errors.New("c"))), `x: a\nb; c`},
	} {
		if got := plain.Error(tt.err); got != tt.want {
			t.Errorf("Error(%q) = %s, want %s", tt.err, got, tt.want)
		}
	}
}

// FuzzPlain: nothing gets through that could command a terminal or begin a line, and
// no two names look the same.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "a\nb", "\x1b[2J", `"`, `\`, "\xff", "\u202e", "a: b\n"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, s, op string) {
		name := plain.Name(s)
		back := name
		if strings.HasPrefix(name, `"`) {
			var err error
			if back, err = strconv.Unquote(name); err != nil {
				t.Fatalf("%q is shown as %s: %v", s, name, err)
			}
		}
		if back != s {
			t.Errorf("%q is shown as %s, which is %q", s, name, back)
		}
		path := &fs.PathError{Op: op, Path: s, Err: errors.New(s)}
		text := plain.Text(s)
		if plain.Text(text) != text {
			t.Errorf("Text(%q) = %s, and of that %s", s, text, plain.Text(text))
		}
		for _, shown := range []string{name, text, plain.Error(path), plain.Error(fmt.Errorf("%s: %w %w", s, path, errors.New(op))),
			plain.Error(errors.Join(errors.New(s), path, errors.New(op)))} {
			for _, r := range shown {
				if !strconv.IsPrint(r) {
					t.Errorf("%q, %q: %q is shown with %q", s, op, shown, r)
				}
			}
			if !utf8.ValidString(shown) {
				t.Errorf("%q, %q: %q is not UTF-8", s, op, shown)
			}
		}
	})
}
