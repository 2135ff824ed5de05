//go:build !guest

package bpf

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// FuzzIsFactSource compares with a regular expression: only the module itself counts, in
// the head of a message.
func FuzzIsFactSource(f *testing.F) {
	for _, s := range []string{"add@/module/dm_verity\x00ACTION=add\x00", "add@/module/dm_verity/x", "change@/devices/x\x00y@/module/overlay", "@/module/btrfs", "add@/module/fuse"} {
		f.Add([]byte(s))
	}
	only := regexp.MustCompile(`^[^@\x00]*@/module/(dm_mod|dm_verity|overlay|btrfs)(\x00|$)`)
	f.Fuzz(func(t *testing.T, msg []byte) {
		if got := isFactSource(msg); got != only.Match(msg) {
			t.Errorf("%q: %t", msg, got)
		}
	})
}

// FuzzParseMajor: the number is that of the first block device of that name, and that of
// no other kind.
func FuzzParseMajor(f *testing.F) {
	f.Add("253 device-mapper\n", uint16(254))
	f.Add("", uint16(0))
	f.Fuzz(func(t *testing.T, characters string, major uint16) {
		if strings.Contains(characters, "Block devices:") {
			return
		}
		major &= 1<<12 - 1
		text := "Character devices:\n" + characters + fmt.Sprintf("\nBlock devices:\n  7 loop\n%3d device-mapper\n  9 device-mapper-of-another\n", major)
		if got, err := parseMajor(text); err != nil || got != uint32(major) {
			t.Errorf("%d, %v, want %d", got, err, major)
		}
		if got, err := parseMajor("Character devices:\n" + characters); err != nil || got != 0 {
			t.Errorf("%d of characters, %v", got, err)
		}
	})
}
