//go:build !guest

package bpf

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/linux/abi"
)

// TestHeard: only a module itself is a source of facts, and only a device is one.
func TestHeard(t *testing.T) {
	for object, want := range map[string][2]bool{
		"/module/dm_mod": {true, false}, "/module/dm_verity": {true, false}, "/module/overlay": {true, false}, "/module/btrfs": {true, false}, "/module/ext4": {true, false}, "/module/erofs": {true, false}, "/module/xfs": {true, false},
		"/module/dm_verity/x": {}, "/module/fuse": {}, "/devices/virtual/block/dm-0": {false, true}, "/devices/virtual/block/loop0": {}, "": {},
	} {
		e := abi.Event{Action: "change", Object: object}
		if got := [2]bool{isFactSource(e), isMappedDevice(e)}; got != want {
			t.Errorf("%s: %t, want %t", object, got, want)
		}
	}
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
