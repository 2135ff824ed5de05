//go:build linux && !guest

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipe-linux/ipe/internal/lab/demo/row"
	"github.com/ipe-linux/ipe/internal/lab/vm/debian"
	"github.com/ipe-linux/ipe/internal/lab/vmtest"
)

// TestVMDemo runs the demonstration on each kernel and wants every case, each as demanded.
func TestVMDemo(t *testing.T) {
	trackSources(t)
	for _, name := range debian.KernelNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vmtest.SkipNarrowed(t, vmtest.Kernel(t, name))
			var screen bytes.Buffer
			dir := t.TempDir()
			rows, err := demonstrate(t.Context(), options{kernels: []string{name}, keep: dir}, &screen, io.Discard)
			t.Logf("\n%s", screen.String())
			if err != nil {
				t.Fatal(err)
			}
			checkRows(t, rows)
			if t.Failed() {
				logs, err := filepath.Glob(filepath.Join(dir, name, "boot*.stderr"))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range logs {
					t.Logf("%s:\n%s", file, tail(t, file))
				}
			}
		})
	}
}

func checkRows(t *testing.T, rows []row.Row) {
	t.Helper()
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r.Tried, r.Policy, strings.TrimRight(r.Answered, "/0123456789")}, ": "))
		if !r.OK {
			t.Errorf("boot %d, %s: %s", r.Boot, r.Tried, r.Why)
		}
		if own := map[bool]string{true: "has no IPE", false: "ok"}[r.Kernel == "6.1"]; r.Policy == "strict" && (r.Own != own || r.Compat != "ok") {
			t.Errorf("boot %d, %s: the kernel's own IPE answered %q, compat %q", r.Boot, r.Tried, r.Own, r.Compat)
		}
		if r.Policy == "ALLOW" && r.Answered != "EIO" && !strings.HasPrefix(r.Rule, "op=EXECUTE ") {
			t.Errorf("boot %d, %s: allowed by %q, which is no rule", r.Boot, r.Tried, r.Rule)
		}
		if r.Policy == "DENY" && r.Rule != "DEFAULT op=EXECUTE action=DENY" {
			t.Errorf("boot %d, %s: denied by %q", r.Boot, r.Tried, r.Rule)
		}
	}
	for _, want := range []string{
		"a copy of nft on tmpfs: none: ok",
		"LD_PRELOAD=evil.so into nft: none: code mapped",
		"load a policy changed after signing: refuse: EKEYREJECTED",
		"load a policy signed by a stranger: refuse: ENOKEY",
		"nft of the volume loads the ruleset: ALLOW: ok, 5 chains",
		"the site's script adds to it: ALLOW: ok",
		"a copy of nft on tmpfs: DENY: EACCES",
		"nft of the volume, one bit flipped: ALLOW: EIO",
		"nft of a re-made volume: DENY: EACCES",
		"the site's script, changed: DENY: EACCES",
		"a copy of nft in a memfd: DENY: EACCES",
		"ld.so of the volume runs a copy: ./evil: DENY: mapping refused",
		"LD_PRELOAD=evil.so into nft: DENY: no code mapped",
		"anonymous executable memory (mmap): DENY: EACCES",
		"writable, then executable (mprotect): DENY: EACCES",
		"a copy of nft on tmpfs, iped dead: DENY: EACCES",
		"iped starts again: keep: taken over",
		"executable memory, all that time: DENY: EACCES ",
		"iped starts; nobody deploys anything: keep: enforcing",
		"update firewall to 1.0.0: refuse: ESTALE",
		"load installer 0.1.0; 0.2.0 was deleted: refuse: ESTALE",
		"map a file writable and executable: strict: EACCES",
		"make mapped code writable: strict: EACCES",
		"write a file's page, then execute it: strict: EACCES",
		"write to /proc/self/mem: strict: EACCES",
		"trace another process: strict: EACCES",
		"fill its own pages (userfaultfd): strict: EACCES",
		"execute with an executable stack: strict: signal: SIGKILL",
		"make what is readable executable: strict: signal: SIGKILL",
		"a program written to the initramfs: strict: EACCES",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no row %q", want)
		}
	}
}

func tail(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "")
}

// trackSources looks at the sources of all that is built for the guests.
func trackSources(t *testing.T) {
	t.Helper()
	const module = "github.com/ipe-linux/ipe"
	err := vmtest.TrackSources(t.Context(), module+"/cmd/ipe", module+"/cmd/iped", module+"/internal/lab/demo/agent", module+"/internal/lab/vm/guestinit")
	if err != nil {
		t.Fatal(err)
	}
}
