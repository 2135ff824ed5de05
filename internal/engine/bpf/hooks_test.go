//go:build !guest

package bpf

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets/offsetstest"
	"github.com/ipe-linux/ipe/internal/strict"
)

// TestHooksOfKernels: what is attached on each stored kernel.
func TestHooksOfKernels(t *testing.T) {
	every := []string{"bprm_check_security", "mmap_file", "file_mprotect", "kernel_read_file", "kernel_load_data"}
	alone := []string{"ptrace_access_check", "ptrace_traceme", "inode_init_security_anon", "setup_arg_pages",
		"__x64_sys_personality", "__ia32_sys_personality", "__x64_sys_brk", "__ia32_sys_brk"}
	written := []string{"path_truncate", "file_open", "task_alloc", "bprm_committed_creds"}
	want := map[string][]string{
		"6.1":  slices.Concat([]string{freeInode, verifySignature}, written, every, alone),
		"6.12": slices.Concat([]string{freeInode, setIntegrity}, written, every, alone),
		"7.3":  slices.Concat([]string{freeInode, setIntegrity}, written, []string{"bprm_creds_for_exec"}, every, alone),
	}
	all, err := offsetstest.Kernels("offsets/testdata")
	if err != nil {
		t.Fatal(err)
	}
	for series, stored := range all {
		kernel, err := stored.Kernel()
		if err != nil {
			t.Fatal(err)
		}
		found, err := supported(hooks(), kernel)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range found {
			got = append(got, h.name)
		}
		if diff := cmp.Diff(want[series], got); diff != "" {
			t.Errorf("%s: %s", series, diff)
		}
		if _, err := supported([]hook{{name: "mmap_flie"}}, kernel); err == nil || !strings.Contains(err.Error(), "look for hook mmap_flie") {
			t.Errorf("%s: a hook that no kernel has: %v", series, err)
		}
	}
}

// TestMapper: each stored kernel has what follows the tables of mapped devices.
func TestMapper(t *testing.T) {
	all, err := offsetstest.Kernels("offsets/testdata")
	if err != nil {
		t.Fatal(err)
	}
	for series, stored := range all {
		functions := []string{knownDevice}
		for _, h := range hooks() {
			if h.mapper {
				functions = append(functions, h.name)
			}
		}
		for _, name := range functions {
			if there, err := offsets.HasMapperFunction(stored, name); err != nil || !there {
				t.Errorf("%s: %s: %t, %v", series, name, there, err)
			}
		}
	}
}

// TestEachRuleIsJudged: a rule without a program would be switched on for nothing.
func TestEachRuleIsJudged(t *testing.T) {
	for _, r := range strict.All() {
		var of engine.Profile
		of.Rules[r] = strict.Monitor
		if !slices.ContainsFunc(hooks(), func(h hook) bool { return slices.Contains(h.rules, r) && h.wantedBy(of) }) {
			t.Errorf("%s: no program", r)
		}
	}
}

// TestOpensCostNothing: who neither follows the initramfs nor judges what is opened has no
// program where each file is opened.
func TestOpensCostNothing(t *testing.T) {
	rules := engine.Strict()
	rules.HonestFacts, rules.Rules[strict.ProcMem] = false, strict.Off
	memory := engine.Profile{}
	memory.Rules[strict.ProcMem] = strict.Monitor
	for _, tt := range []struct {
		name    string
		profile engine.Profile
		want    bool
	}{
		{"compat", engine.Profile{}, false},
		{"all rules but proc-mem", rules, false},
		{"proc-mem", memory, true},
		{"honest facts", engine.Profile{HonestFacts: true}, true},
	} {
		attached := slices.ContainsFunc(hooks(), func(h hook) bool { return h.name == "file_open" && h.wantedBy(tt.profile) })
		if attached != tt.want {
			t.Errorf("%s: attached to file_open %t, want %t", tt.name, attached, tt.want)
		}
	}
}
