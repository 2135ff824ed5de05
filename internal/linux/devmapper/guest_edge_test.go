//go:build linux && guest

package devmapper_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestGuestCutOff: the root hash does not cover the superblock. A volume whose
// superblock was changed to cut its data off is not opened, and shown for what it is
// if somebody else has opened it.
func TestGuestCutOff(t *testing.T) {
	r := source(t)
	v := plainVolume(t, r, 293)
	b, err := os.ReadFile(v.hash)
	if err != nil {
		t.Fatal(err)
	}
	b[72], b[73] = 200, 0 // data_blocks, little-endian
	write(t, v.hash, b)
	refused(t, "the hash tree is not one of 200 data blocks", v.ours("v")...)
	refused(t, "the hash tree is not one of 200 data blocks", v.ours("v", "--ignore-corruption")...)

	veritysetup(t, v.open("v")...)
	same(t, "v", v.content[:200*4096]) // the kernel finds nothing wrong
	out, errs, code := ipe("dmverity", "status", "v")
	if code != 1 || !strings.Contains(out, "  status:      wrong size\n") || !strings.Contains(errs, "not one of 200 data blocks") {
		t.Errorf("status: exit %d\n%s%s", code, out, errs)
	}
	out, errs, code = ipe("dmverity", "status", "--json", "v")
	var s struct {
		Size      string `json:"size"`
		SizeError string `json:"size_error"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 1 || s.Size != "wrong" || s.SizeError == "" {
		t.Errorf("status --json: exit %d, %v\n%s%s", code, err, out, errs)
	}
	if out, _, code := ipe("dmverity", "status"); code != 1 || !strings.HasPrefix(out, "v  wrong size  unsigned  ") {
		t.Errorf("list: exit %d, %s", code, out)
	}
	run(t, "dmverity", "close", "v")

	b[72], b[73] = 37, 1 // 293 again
	write(t, v.hash, b)
	run(t, v.ours("v")...)
	out = run(t, "dmverity", "status", "--json", "v")
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Size != "verified" || s.SizeError != "" {
		t.Errorf("status of the whole volume: %v %s", err, out)
	}
	run(t, "dmverity", "close", "v")
	nothingLeft(t)
}
