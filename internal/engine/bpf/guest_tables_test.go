//go:build guest

package bpf_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ipe-linux/ipe/digest"
	"github.com/ipe-linux/ipe/eval"
	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf"
)

// tablesDir has the pins of these tests.
const tablesDir = "/sys/fs/bpf/tables"

func strictly(t *testing.T) *bpf.Engine {
	t.Helper()
	return openWith(t, bpf.Options{PinDir: tablesDir, KeepCaches: true, Profile: engine.Profile{HonestFacts: true}})
}

func imageRoot(t *testing.T, variable string) digest.Digest {
	t.Helper()
	d, err := digest.Parse("sha256:" + os.Getenv(variable))
	check0(t, err)
	return d
}

// wantTables holds the numbers of devices against those of the state.
func wantTables(t *testing.T, e *bpf.Engine, swapped, unknown int) {
	t.Helper()
	s := stateOf(t, e)
	if s.Swapped != swapped || s.Unknown != unknown {
		t.Errorf("%d devices swapped, %d unknown; want %d, %d", s.Swapped, s.Unknown, swapped, unknown)
	}
	if text := strings.Join(s.Problems, "\n"); strings.Contains(text, "left out") {
		t.Error(text)
	}
}

// TestEngineTables: what is cached from another table is not what the live one verifies. A
// volume whose device had another one has no facts with an honest profile, at any hook,
// whichever process of ours looks; without, those that the kernel's own IPE takes for true.
func TestEngineTables(t *testing.T) {
	mountAll(t)
	t.Setenv("DM_DISABLE_UDEV", "1") // dmsetup makes device nodes itself
	root := imageRoot(t, "ROOT_HASH")
	before := len(mappedDevices(t))
	e := strictly(t)
	wantTables(t, e, 0, before)
	openVolume(t, "volume", os.Getenv("ROOT_HASH"), directory(t, "/fresh"))
	makeSwapped(t, "/was-linear", "linear")
	makeSwapped(t, "/was-verity", "verity")
	at := map[string]bool{"/volume": true, "/fresh": true, "/was-linear": false, "/was-verity": false}
	wantTables(t, e, 2, before)
	testTables(t, e, root, at)

	t.Run("another process", func(t *testing.T) {
		check0(t, e.Close())
		e = strictly(t)
		wantTables(t, e, 2, before)
		testTables(t, e, root, at)
	})
	t.Run("left out", func(t *testing.T) {
		setMissed(t, 1)
		for range 2 {
			if s := stateOf(t, e); !strings.Contains(strings.Join(s.Problems, "\n"), "left out") {
				t.Errorf("problems %q", s.Problems)
			}
			testTables(t, e, root, map[string]bool{"/volume": false, "/fresh": false})
			check0(t, e.Close())
			e = strictly(t) // which is no reason to forget it
		}
		setMissed(t, 0)
		testTables(t, e, root, at)
	})
	t.Run("compat", func(t *testing.T) {
		check0(t, e.Close())
		e = openWith(t, bpf.Options{PinDir: tablesDir, KeepCaches: true})
		if s := stateOf(t, e); slices.Contains(s.Hooks, "dm_swap_table") || slices.Contains(s.Hooks, "file_open") {
			t.Errorf("attached: %q", s.Hooks)
		}
		testTables(t, e, root, map[string]bool{"/volume": true, "/fresh": true, "/was-linear": true, "/was-verity": true})
	})
	t.Run("strict again", func(t *testing.T) {
		check0(t, e.Close())
		e = strictly(t)
		wantTables(t, e, 2, before+1) // what happened in between is not known
		testTables(t, e, root, at)
	})
	t.Run("opened again", func(t *testing.T) {
		for _, volume := range []string{"/was-linear", "/was-verity", "/fresh"} {
			unmount(t, volume)
			tool(t, "dmsetup", "remove", strings.TrimPrefix(volume, "/"))
		}
		wantTables(t, e, 0, before)
		openVolume(t, "volume", os.Getenv("ROOT_HASH"), "/was-linear")
		wantTables(t, e, 0, before)
		testTables(t, e, root, map[string]bool{"/was-linear": true})
		unmount(t, "/was-linear")
		tool(t, "dmsetup", "remove", "was-linear")
	})
	check0(t, e.SetSignedRoots(nil))
	check0(t, e.Close())
	check0(t, os.RemoveAll(tablesDir))
}

// setMissed says in the engine's place that a program that follows tables was left out.
func setMissed(t *testing.T, missed uint32) {
	t.Helper()
	pins, err := filepath.Glob(tablesDir + "/v*/ipe_profile")
	check0(t, err)
	m, err := ebpf.LoadPinnedMap(pins[0], nil)
	check0(t, err)
	defer m.Close()
	var profile []byte
	check0(t, m.Lookup(uint32(0), &profile))
	binary.NativeEndian.PutUint32(profile[4:], missed)
	check0(t, m.Put(uint32(0), profile))
}

func mappedDevices(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("/sys/block/dm-*")
	check0(t, err)
	return all
}

// makeSwapped mounts a device with the content of the other image, reads it, and gives the
// device the table of the volume's image.
func makeSwapped(t *testing.T, at, first string) {
	t.Helper()
	name := strings.TrimPrefix(directory(t, at), "/")
	info, err := os.Stat("/images/other.img")
	check0(t, err)
	disk := strings.TrimSpace(tool(t, "losetup", "--find", "--show", "--read-only", "/images/other.img"))
	table := "0 " + strconv.FormatInt(info.Size()/512, 10) + " linear " + disk + " 0"
	if first == "verity" {
		table = strings.TrimSpace(tool(t, "dmsetup", "table", "other"))
	}
	tool(t, "dmsetup", "create", "--readonly", name, "--table", table)
	tool(t, "mount", "-o", "ro", "/dev/mapper/"+name, at)
	if text, err := os.ReadFile(at + "/probe"); err != nil || !strings.Contains(string(text), "two") {
		t.Fatalf("%q, %v", text, err)
	}
	tool(t, "dmsetup", "load", "--readonly", name, "--table", strings.TrimSpace(tool(t, "dmsetup", "table", "volume")))
	tool(t, "dmsetup", "resume", name)
	if text, err := os.ReadFile(at + "/probe"); err != nil || !strings.Contains(string(text), "two") {
		t.Fatalf("not what was cached: %q, %v", text, err)
	}
}

// testTables demands which of the volumes have facts.
func testTables(t *testing.T, e *bpf.Engine, root digest.Digest, at map[string]bool) {
	t.Helper()
	check0(t, e.SetSignedRoots([]digest.Digest{root}))
	rec := newRecorder(t, e)
	for volume, holds := range at {
		facts := eval.Evidence{Unavailable: e.Unavailable()}
		if holds {
			facts.RootHash, facts.RootHashSigned = root, true
		}
		testHonest(t, e, rec, root, volume+"/probe", facts)
	}
}

// TestEngineWritten: a file of the initramfs is what was booted until somebody opens it for
// writing.
func TestEngineWritten(t *testing.T) {
	for _, name := range []string{"untouched", "opened", "truncated", "cut", "linked", "mapped"} {
		putProbe(t, "/written-"+name) // before anybody looks: such a file counts as booted
	}
	check0(t, os.Link("/written-linked", "/written-link"))
	e := strictly(t)
	defer func() {
		check0(t, e.Close())
		check0(t, os.RemoveAll(tablesDir))
	}()
	putProbe(t, "/written-new")
	for _, name := range []string{"opened", "linked"} {
		f, err := os.OpenFile("/written-"+name, os.O_WRONLY, 0)
		check0(t, errors.Join(err, f.Close()))
	}
	content, err := os.ReadFile("/written-untouched")
	check0(t, err)
	check0(t, os.Truncate("/written-truncated", int64(len(content))))
	fd, err := unix.Open("/written-cut", unix.O_RDONLY|unix.O_TRUNC, 0)
	check0(t, errors.Join(err, unix.Close(fd)))
	if text, err := os.ReadFile("/written-cut"); err != nil || len(text) > 0 {
		t.Errorf("opened for reading, to be cut: %q, %v", text, err)
	}
	tool(t, "mount", "--bind", "/written-mapped", "/written-mapped")
	booted := map[string]bool{"/written-untouched": true, "/written-mapped": true, "/written-new": false, "/written-opened": false, "/written-truncated": false, "/written-cut": false, "/written-linked": false, "/written-link": false}
	testWritten(t, e, booted)
	t.Run("another process", func(t *testing.T) {
		check0(t, e.Close())
		e = strictly(t)
		testWritten(t, e, booted)
	})
	t.Run("compat", func(t *testing.T) {
		check0(t, e.Close())
		e = openWith(t, bpf.Options{PinDir: tablesDir, KeepCaches: true})
		testWritten(t, e, map[string]bool{"/written-untouched": true, "/written-new": true, "/written-opened": true, "/written-truncated": true})
	})
	unmount(t, "/written-mapped")
}

func testWritten(t *testing.T, e *bpf.Engine, booted map[string]bool) {
	t.Helper()
	rec := newRecorder(t, e)
	for path, is := range booted {
		s := subject{facts: eval.Evidence{BootVerified: is, Unavailable: e.Unavailable()}}
		a := activate(t, e, engine.Mode{Enforce: true, SuccessAudit: true}, "DEFAULT action=DENY", "op=EXECUTE boot_verified=TRUE action=ALLOW")
		for _, act := range fileActions(path) {
			check(t, path+", "+act.name, a.Policy, s, act, rec)
		}
	}
}
