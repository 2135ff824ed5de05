package roothash_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/internal/ownership"
	"github.com/ipe-linux/ipe/internal/roothash"
)

var errWrong = errors.New("wrong signature")

// echo is a signature that repeats what it signs.
func echo(message, content []byte) error {
	if !bytes.Equal(message, content) {
		return errWrong
	}
	return nil
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	a, b, c := strings.Repeat("0a", 32), strings.Repeat("0B", 64), strings.Repeat("0c", 32)
	for name, text := range map[string]string{
		"a.roothash": a + "\n", "a.roothash.p7s": a,
		"b.roothash": "sha512:" + b, "b.roothash.p7s": b,
		"wrong.roothash": a, "wrong.roothash.p7s": c,
		"short.roothash": a[2:], "short.roothash.p7s": a[2:],
		"unsigned.roothash": c, "alone.roothash.p7s": c, "other.p7s": c,
		"large.roothash": strings.Repeat("0", 1025), "large.roothash.p7s": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	da, db := parse(t, "sha256:"+a), parse(t, "sha512:"+b)
	for _, tt := range []struct {
		path     string
		want     []digest.Digest
		problems []string
	}{
		{"", []digest.Digest{da, db}, []string{"alone.roothash: ", "large.roothash: not a regular file of at most", "short.roothash: ", "wrong.roothash: wrong signature"}},
		{"a.roothash", []digest.Digest{da}, nil},
		{"b.roothash.p7s", []digest.Digest{db}, nil},
		{"unsigned.roothash", nil, []string{"unsigned.roothash.p7s: no such file"}},
		{"gone", nil, []string{"gone: no such file"}},
		{"wrong.roothash", nil, []string{"wrong signature"}},
	} {
		got, problems := roothash.Read([]string{filepath.Join(dir, tt.path)}, echo)
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(digest.Digest.Equal)); diff != "" || len(problems) != len(tt.problems) {
			t.Errorf("%q: problems %q, hashes (-want +got):\n%s", tt.path, problems, diff)
			continue
		}
		for i, p := range problems {
			if !strings.Contains(p.Error(), tt.problems[i]) {
				t.Errorf("%q: problem %q, want %q", tt.path, p, tt.problems[i])
			}
		}
	}
}

// TestReadOwn: what others than root can change does not count.
func TestReadOwn(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a.roothash": 0o644, "a.roothash.p7s": 0o644, "b.roothash": 0o666, "b.roothash.p7s": 0o644, "c.roothash": 0o644, "c.roothash.p7s": 0o664} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(strings.Repeat("0a", 32)), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	var unsafe *ownership.Error
	roots, problems := roothash.Read([]string{dir}, echo)
	if len(roots) != 1 || len(problems) != 2 || !errors.As(problems[0], &unsafe) || !errors.As(problems[1], &unsafe) {
		t.Errorf("%d hashes, problems %q", len(roots), problems)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	roots, problems = roothash.Read([]string{dir, filepath.Join(dir, "a.roothash")}, echo)
	if len(roots) != 0 || len(problems) != 2 {
		t.Errorf("in a directory of everybody: %d hashes, problems %q", len(roots), problems)
	}
}

func parse(t *testing.T, s string) digest.Digest {
	t.Helper()
	d, err := digest.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWord reads root hashes as different programs write them.
func TestWord(t *testing.T) {
	const hash = "0a0b"
	for _, text := range []string{"0a0b", "0a0b\n", "0a0b\r\n", "\n0a0b\n\n\n", "0a0b\r\n\r\n", "0a0b  root.img\n", "0a0b *root.img\r\n", "0a0b\tname", "  0a0b"} {
		if got, err := roothash.Word([]byte(text)); err != nil || string(got) != hash {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "\n", " \r\n", "0a0b\n0c0d\n", "0a0b\r0c0d"} {
		if got, err := roothash.Word([]byte(text)); !errors.Is(err, roothash.ErrText) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	digits := strings.Repeat("0a", 32)
	d, signed, err := roothash.Parse([]byte(digits + "  root.img\r\n\r\n"))
	if err != nil || string(signed) != digits || !d.Equal(parse(t, "sha256:"+digits)) {
		t.Errorf("%v, signed %q, %v", d, signed, err)
	}
}

// FuzzParse: what is read is of its algorithm's size, and the digits are its own.
func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.Repeat("0A", 32) + "\n"))
	f.Add([]byte("sha512:" + strings.Repeat("ff", 64)))
	f.Add([]byte("sha256:sha256:00"))
	f.Add([]byte(strings.Repeat("0a", 32) + "  name\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, digits, err := roothash.Parse(text)
		if err != nil {
			return
		}
		sum, err := hex.DecodeString(string(digits))
		if size, ok := digest.AlgorithmSize(d.Algorithm()); err != nil || !bytes.Equal(sum, d.Bytes()) || !ok || size != d.Size() {
			t.Errorf("%q is %v with digits %q, %v", text, d, digits, err)
		}
	})
}
