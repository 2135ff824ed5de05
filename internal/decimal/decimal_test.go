package decimal_test

import (
	"errors"
	"flag"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/ipe-linux/ipe/internal/decimal"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "010": 10, "4096": 4096, "000": 0, "09": 9, "9223372036854775807": math.MaxInt64} {
		if n, err := decimal.Parse[int64](s); err != nil || n != want {
			t.Errorf("%q is %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "0x10", "0X10", "0b1", "0o7", "1_000", "+1", "-1", " 1", "1 ", "1k", "1e3", "1.0", "٣"} {
		if n, err := decimal.Parse[int64](s); !errors.Is(err, decimal.ErrSyntax) || n != 0 {
			t.Errorf("%q is %d, %v", s, n, err)
		}
	}
	for s, parse := range map[string]func(string) error{
		"9223372036854775808":  errorOf[int64],
		"2147483648":           errorOf[int32],
		"4294967296":           errorOf[uint32],
		"18446744073709551616": errorOf[uint64],
	} {
		if err := parse(s); !errors.Is(err, decimal.ErrRange) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if n, err := decimal.Parse[uint64]("18446744073709551615"); err != nil || n != math.MaxUint64 {
		t.Error(n, err)
	}
}

func errorOf[T decimal.Integer](s string) error {
	_, err := decimal.Parse[T](s)
	return err
}

// TestFlag is a flag of both packages.
func TestFlag(t *testing.T) {
	var n int
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	var help strings.Builder
	fs.SetOutput(&help)
	fs.Var(decimal.Flag(&n, 4096), "size", "in `bytes`")
	fs.PrintDefaults()
	if want := "  -size bytes\n    \tin bytes (default 4096)\n"; help.String() != want {
		t.Errorf("help %q, want %q", help.String(), want)
	}
	if err := fs.Parse([]string{"-size", "0010"}); err != nil || n != 10 {
		t.Error(n, err)
	}
	var m int64
	pf := pflag.NewFlagSet("", pflag.ContinueOnError)
	pf.SetOutput(io.Discard)
	pf.Var(decimal.Flag(&m, 0), "size", "in `bytes`")
	if want := "      --size bytes   in bytes\n"; pf.FlagUsages() != want {
		t.Errorf("help %q, want %q", pf.FlagUsages(), want)
	}
	if err := pf.Parse([]string{"--size=0x10"}); !errors.Is(err, decimal.ErrSyntax) || m != 0 {
		t.Error(m, err)
	}
}

// FuzzParse takes what is nothing but digits, and at its decimal value.
func FuzzParse(f *testing.F) {
	f.Add("010")
	f.Add("0x1")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := decimal.Parse[int64](s)
		digits := s != "" && strings.Trim(s, "0123456789") == ""
		want, tooLarge := strconv.ParseInt(s, 10, 64)
		if ok := digits && tooLarge == nil; ok != (err == nil) || ok && n != want {
			t.Errorf("%q is %d, %v", s, n, err)
		}
	})
}
