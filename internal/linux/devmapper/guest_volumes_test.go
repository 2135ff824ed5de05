//go:build linux && guest

package devmapper_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// randomVolume formats a volume with random parameters, by ipe or by veritysetup.
func randomVolume(t *testing.T, r *rand.Rand, byUs bool) *volume {
	t.Helper()
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	dir := t.TempDir()
	v := &volume{data: filepath.Join(dir, "data"), hash: filepath.Join(dir, "hash")}
	dataBlock, hashBlock := 512<<r.IntN(4), 512<<r.IntN(4)
	one := r.IntN(3) == 0 // device for both
	if one {
		hashBlock = max(hashBlock, dataBlock) // or veritysetup makes a loop device of too large sectors
	}
	blocks := 2 + r.IntN(300)
	v.content = random(r, dataBlock*blocks)
	all := v.content
	params := []string{
		"--hash=" + pick("sha256", "sha256", "sha512", "sha384", "sha224", "sha1", "sha3-256", "sha3-512"), "--format=" + pick("0", "1"),
		fmt.Sprint("--data-block-size=", dataBlock), fmt.Sprint("--hash-block-size=", hashBlock),
		"--salt=" + pick("-", fmt.Sprintf("%x", random(r, 1+r.IntN(256)))),
	}
	bare := r.IntN(3) == 0
	align := 512
	if bare {
		align = hashBlock
		v.args = append(v.args, "--no-superblock")
	}
	switch offset := align * r.IntN(4); {
	case one:
		v.hash = v.data
		offset += (len(all) + align - 1) / align * align
		v.args = append(v.args, fmt.Sprint("--hash-offset=", offset))
		params = append(params, fmt.Sprint("--data-blocks=", blocks))
	case r.IntN(2) == 0:
		v.args = append(v.args, fmt.Sprint("--hash-offset=", offset))
	}
	write(t, v.data, all)
	format := slices.Concat([]string{"format", v.data, v.hash, "--root-hash-file=" + v.data + ".root"}, params, v.args)
	if byUs {
		run(t, append([]string{"dmverity"}, format...)...)
	} else {
		veritysetup(t, format...)
	}
	v.readRoot(t)
	if bare {
		v.args = append(v.args, params...)
	}
	t.Logf("by us %v: %v", byUs, format[4:])
	return v
}

// TestGuestVolumes has each program open what each has formatted, and close what each
// has opened.
func TestGuestVolumes(t *testing.T) {
	r := source(t)
	for i := range int(number(t, "DM_SETS")) {
		byUs, closedByUs := i%2 == 0, i%4 < 2
		v := randomVolume(t, r, byUs)
		done := func(ours bool) {
			t.Helper()
			if ours {
				run(t, "dmverity", "close", "v")
			} else {
				veritysetup(t, "close", "v")
			}
			nothingLeft(t)
		}
		if out := run(t, v.ours("v")...); out != "/dev/mapper/v\n" {
			t.Errorf("open printed %q", out)
		}
		same(t, "v", v.content)
		sameStatus(t, "v")
		done(closedByUs)
		veritysetup(t, v.open("v")...)
		same(t, "v", v.content)
		sameStatus(t, "v")
		done(!closedByUs)
	}
}

func TestGuestOptions(t *testing.T) {
	v := plainVolume(t, source(t), 8)
	for flags, want := range map[string]string{
		"": "", "--ignore-corruption": "ignore_corruption", "--on-corruption=ignore": "ignore_corruption",
		"--restart-on-corruption --ignore-zero-blocks": "restart_on_corruption ignore_zero_blocks",
		"--panic-on-corruption --check-at-most-once":   "panic_on_corruption check_at_most_once",
		"--on-corruption=panic":                        "panic_on_corruption",
	} {
		run(t, v.ours("v", strings.Fields(flags)...)...)
		if got := strings.Join(status(t, "v").Options, " "); got != want {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
		sameStatus(t, "v")
		run(t, "dmverity", "close", "/dev/mapper/v")
	}
	nothingLeft(t)
	// Older kernels do not have these.
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err != nil || strings.HasPrefix(string(release), "6.1.") {
		refused(t, "needs dm-verity 1.10.0 (Linux 6.12)", v.ours("v", "--on-error=panic")...)
		return
	}
	run(t, v.ours("v", "--on-error=panic")...)
	if got := status(t, "v").Options; !slices.Equal(got, []string{"panic_on_error"}) {
		t.Errorf("%v", got)
	}
	run(t, "dmverity", "close", "v")
}
