//go:build linux && !guest

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStatus(t *testing.T) {
	const status = `/dev/mapper/service is active.
  type:        VERITY
  status:      verified (with signature)
  hash name:   sha256
  salt:        00ff
  root hash:   `
	sum := strings.Repeat("ab", 32)
	root, signed, err := parseStatus(status + sum + "\n")
	if err != nil || root.String() != "sha256:"+sum || !signed {
		t.Errorf("%s, signed %v, %v", root, signed, err)
	}
	root, signed, err = parseStatus(strings.Replace(status, " (with signature)", "", 1) + sum + "\n")
	if err != nil || root.IsZero() || signed {
		t.Errorf("%s, signed %v, %v", root, signed, err)
	}
	if _, _, err := parseStatus("/dev/mapper/service is inactive.\n"); err == nil {
		t.Error("a device without root hash has none")
	}
}

func TestHasCode(t *testing.T) {
	const maps = `7f00-7f01 r--p 00000000 00:20 5    /tmp/evil.so
7f01-7f02 r-xp 00001000 fe:00 7    /usr/lib/libmnl.so.0
7f02-7f03 r-xp 00000000 00:00 0
`
	for file, want := range map[string]bool{"/tmp/evil.so": false, "/usr/lib/libmnl.so.0": true, "/absent": false} {
		if got := hasCode(maps, file); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

func TestRefusal(t *testing.T) {
	for text, want := range map[string][]string{
		"ipe: error: load policy: signer not trusted [ENOKEY]\nipe: hint: trust it\n": {"load policy: signer not trusted", "ENOKEY"},
		"ipe: error: iped does not answer\n":                                          nil,
	} {
		m := refusal.FindStringSubmatch(text)
		if len(m) > 0 {
			m = m[1:]
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}
