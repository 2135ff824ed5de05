package digest_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/ipe-linux/ipe/digest"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text, alg string
		sum       []byte
		printed   string
	}{
		{"sha256:cd2c", "sha256", []byte{0xcd, 0x2c}, "sha256:cd2c"},
		{"sha256:Cd2C", "sha256", []byte{0xcd, 0x2c}, "sha256:cd2c"},
		{"SHA256:ab", "SHA256", []byte{0xab}, "SHA256:ab"},
		{"sha256:", "sha256", nil, "sha256:"},
		{":ab", "", []byte{0xab}, ":ab"},
		{"sha\"256\xA0:00", "sha\"256\xA0", []byte{0}, "sha\"256\xA0:00"},
	}
	for _, tt := range tests {
		d, err := digest.Parse(tt.text)
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		if d.Algorithm() != tt.alg || !bytes.Equal(d.Bytes(), tt.sum) || d.Size() != len(tt.sum) {
			t.Errorf("%q: %q, %x, %d bytes; want %q, %x", tt.text, d.Algorithm(), d.Bytes(), d.Size(), tt.alg, tt.sum)
		}
		if d.String() != tt.printed {
			t.Errorf("%q prints as %q, want %q", tt.text, d, tt.printed)
		}
		if d != digest.New(tt.alg, tt.sum) {
			t.Errorf("%q is not what New makes", tt.text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		text string
		want error
	}{
		{"", digest.ErrNoColon}, {"sha256", digest.ErrNoColon}, {"sha256-ab", digest.ErrNoColon},
		{"sha256:a", digest.ErrHex}, {"sha256:zz", digest.ErrHex}, {"sha256:0xab", digest.ErrHex},
		{"sha256:ab:cd", digest.ErrHex}, {"sha256: ab", digest.ErrHex}, {"sha256:ab\n", digest.ErrHex},
	}
	for _, tt := range tests {
		if d, err := digest.Parse(tt.text); !errors.Is(err, tt.want) || !d.IsZero() {
			t.Errorf("%q: %v, %v; want %v", tt.text, d, err, tt.want)
		}
	}
}

func TestEqual(t *testing.T) {
	d := digest.New("sha256", []byte{1, 2})
	tests := []struct {
		name  string
		other digest.Digest
		want  bool
	}{
		{"same", digest.New("sha256", []byte{1, 2}), true},
		{"case of the algorithm", digest.New("SHA256", []byte{1, 2}), false},
		{"another algorithm", digest.New("sha512", []byte{1, 2}), false},
		{"another byte", digest.New("sha256", []byte{1, 3}), false},
		{"shorter", digest.New("sha256", []byte{1}), false},
		{"longer", digest.New("sha256", []byte{1, 2, 0}), false},
		{"none", digest.Digest{}, false},
	}
	for _, tt := range tests {
		if d.Equal(tt.other) != tt.want || tt.other.Equal(d) != tt.want || (d == tt.other) != tt.want {
			t.Errorf("%s: equal is not %t", tt.name, tt.want)
		}
	}
}

func TestDigestKeepsItsBytes(t *testing.T) {
	sum := []byte{1, 2}
	d := digest.New("sha256", sum)
	sum[0] = 9
	d.Bytes()[1] = 9
	if d.String() != "sha256:0102" {
		t.Errorf("became %v", d)
	}
}

func TestZero(t *testing.T) {
	if !(digest.Digest{}).IsZero() || digest.New("sha256", nil).IsZero() || digest.New("", []byte{0}).IsZero() {
		t.Error("only the zero Digest is none")
	}
}

func TestAlgorithmSize(t *testing.T) {
	want := map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64, "sha3-256": 32, "sm3": 32}
	for alg, size := range want {
		if got, ok := digest.AlgorithmSize(alg); got != size || !ok {
			t.Errorf("%s: %d, %t; want %d", alg, got, ok, size)
		}
	}
	for _, alg := range []string{"", "SHA256", "sha256-generic", "md5"} {
		if _, ok := digest.AlgorithmSize(alg); ok {
			t.Errorf("%q has a size", alg)
		}
	}
}

// FuzzParse checks that what is accepted prints and reads back as itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"sha256:cd2c", "SHA:AB", ":", "", "a", "a:b", "a:b:c", "\x00\xA0:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := digest.Parse(s)
		if err != nil {
			if errors.Is(err, digest.ErrNoColon) == errors.Is(err, digest.ErrHex) {
				t.Errorf("%q: %v is not in one class", s, err)
			}
			return
		}
		again, err := digest.Parse(d.String())
		if err != nil || again != d || !again.Equal(d) {
			t.Errorf("%q prints as %v, reads back as %v, %v", s, d, again, err)
		}
	})
}

func BenchmarkEqual(b *testing.B) {
	d, e := digest.New("sha256", make([]byte, 32)), digest.New("sha256", make([]byte, 32))
	for b.Loop() {
		if !d.Equal(e) {
			b.Fatal("not equal")
		}
	}
}

func ExampleParse() {
	d, err := digest.Parse("sha256:CD2C")
	if err != nil {
		fmt.Println(err)
		return
	}
	size, _ := digest.AlgorithmSize(d.Algorithm())
	fmt.Println(d, d.Size(), size)
	// Output: sha256:cd2c 2 32
}

func TestText(t *testing.T) {
	for _, d := range []digest.Digest{{}, digest.New("sha256", []byte{0xab}), digest.New("", nil)} {
		text, err := d.MarshalText()
		back := digest.New("stale", nil)
		if err := errors.Join(err, back.UnmarshalText(text)); err != nil || back != d && d.Algorithm() != "" {
			t.Errorf("%v is read from %q as %v, %v", d, text, back, err)
		}
	}
	var d digest.Digest
	if err := d.UnmarshalText([]byte("sha256")); !errors.Is(err, digest.ErrNoColon) {
		t.Error(err)
	}
}
