package dmverity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/verity/dmverity"
	"github.com/ipe-linux/ipe/verity/merkle"
)

const (
	someParams  = "1 7:0 7:1 4096 4096 1000 3 sha256 abababababababababababababababababababababababababababababababab 010203"
	someOptions = " 15 restart_on_corruption restart_on_error ignore_zero_blocks check_at_most_once " +
		"use_fec_from_device 7:2 fec_start 2 fec_blocks 1009 fec_roots 24 root_hash_sig_key_desc ipe:1 try_verify_in_tasklet"
)

func TestParseParams(t *testing.T) {
	for _, text := range []string{
		someParams, someParams + someOptions, someParams + " 1 panic_on_corruption", someParams + " 1 ignore_corruption",
		someParams + " 1 panic_on_error", strings.TrimSuffix(someParams, "010203") + "-",
		"0 /dev/a /dev/b 512 1024 1 0 sha1 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd -",
	} {
		table, err := dmverity.ParseParams(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again, err := table.Params(); err != nil || again != text {
			t.Errorf("%s\nbecame %s, %v", text, again, err)
		}
	}
	// The kernel has the options in an order of its own, and may say 0 of them.
	table, err := dmverity.ParseParams(someParams + " 9 use_fec_from_device 7:1 fec_blocks 1009 fec_start 2000 fec_roots 3 check_at_most_once")
	if err != nil || !table.CheckAtMostOnce || table.FEC == nil {
		t.Fatalf("%+v, %v", table, err)
	}
	if diff := cmp.Diff(dmverity.FEC{Roots: 3, Offset: 2000 * 4096, HashEnd: (3 + 9) * 4096}, *table.FEC); diff != "" {
		t.Error(diff)
	}
	if _, err := dmverity.ParseParams(someParams + " 0"); err != nil {
		t.Error(err)
	}
}

func TestParseBadParams(t *testing.T) {
	for _, text := range []string{
		"", "1", "2" + someParams[1:], "-1" + someParams[1:], "x" + someParams[1:], someParams[:len(someParams)-7],
		someParams + "0", someParams + " x", someParams + " 1", someParams + " 2 ignore_corruption", someParams + " 1 explode",
		someParams + " 2 use_fec_from_device 7:2", someParams + " 2 fec_blocks 1009", someParams + " 1 root_hash_sig_key_desc",
		someParams + " 4 use_fec_from_device 7:2 fec_blocks 999", someParams + " 4 use_fec_from_device 7:2 fec_blocks 9223372036854775807",
		strings.Replace(someParams, "4096 4096", "4096 4095", 1), strings.Replace(someParams, "sha256", "sha512", 1),
		strings.Replace(someParams, "1000 3", "1000 9223372036854775807", 1), strings.Replace(someParams, "1000 3", "0 3", 1),
		strings.Replace(someParams, "abab", "xyz", 1),
	} {
		if table, err := dmverity.ParseParams(text); !errors.Is(err, dmverity.ErrParams) {
			t.Errorf("%q: %+v, %v", text, table, err)
		}
	}
	if _, err := dmverity.ParseParams(strings.Replace(someParams, "sha256", "sha257", 1)); !errors.Is(err, merkle.ErrAlgorithm) {
		t.Error(err)
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(someParams)
	f.Add(someParams + someOptions)
	f.Add("0 a b 512 65536 1 9 sha1 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd - 0")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := dmverity.ParseParams(text)
		if err != nil {
			if !errors.Is(err, dmverity.ErrParams) && !errors.Is(err, merkle.ErrAlgorithm) {
				t.Fatal(err)
			}
			return
		}
		params, err := table.Params()
		if err != nil {
			t.Fatalf("%q was read as %+v, which cannot be written: %v", text, table, err)
		}
		again, err := dmverity.ParseParams(params)
		if diff := cmp.Diff(table, again, cmp.Comparer(digest.Digest.Equal)); err != nil || diff != "" {
			t.Fatalf("%q became %q: %v %s", text, params, err, diff)
		}
	})
}
