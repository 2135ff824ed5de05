package bpf

import (
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/ipe-linux/ipe/internal/engine"
	"github.com/ipe-linux/ipe/internal/engine/bpf/offsets"
	"github.com/ipe-linux/ipe/internal/strict"
)

// hook is one program and where it is attached.
type hook struct {
	// name is that of an LSM hook, or of the function that is traced.
	name    string
	program string
	purpose string
	// traced is a function of the kernel, not a hook.
	traced bool
	// mapper is a traced function of device-mapper, which may be a module and come later.
	mapper bool
	// remembers names the map of a program that remembers facts, and judges nothing.
	remembers string
	// rules are the strict rules that it judges, beside the policy or alone.
	rules []strict.Rule
	// optional: without it the policy is enforced all the same.
	optional bool
	// since tells whether a kernel has what an optional hook serves.
	since func(*btf.Spec) bool
	// wanted tells whether a profile asks for it; nil if each does.
	wanted func(engine.Profile) bool
}

// What tells of verified fs-verity signatures: a hook since Linux 6.12, before that
// the end of a function; and what tells of inodes that are gone.
const (
	freeInode       = "inode_free_security"
	setIntegrity    = "inode_setintegrity"
	verifySignature = "fsverity_verify_signature"
)

// What tells that a process is traced by another, or wants to be.
const (
	traces = "ptrace_access_check"
	traced = "ptrace_traceme"
)

// What gives a mapped device another table, what ends it, and what gives its name.
const (
	swapTable     = "dm_swap_table"
	destroyDevice = "dm_destroy"
	knownDevice   = "dm_copy_name_and_uuid"
)

// hooks lists what is attached. Programs that remember come before those who judge, and what
// forgets before what learns.
func hooks() []hook {
	return []hook{
		{name: freeInode, program: "ipe_inode_free_security", purpose: "forgets inodes that are gone", remembers: mapSigned},
		{name: setIntegrity, program: "ipe_inode_setintegrity", purpose: "learns of verified fs-verity signatures", remembers: mapSigned, since: announces},
		{name: verifySignature, program: "ipe_verify_signature", purpose: "learns of verified fs-verity signatures, where no hook tells", traced: true, remembers: mapSigned,
			since: func(k *btf.Spec) bool { return !announces(k) && offsets.HasFunction(k, verifySignature) }},
		{name: destroyDevice, program: "ipe_destroy_device", purpose: "forgets mapped devices that are gone", traced: true, mapper: true, remembers: mapTables, wanted: honest},
		{name: swapTable, program: "ipe_swap_table", purpose: "learns which tables a mapped device has had", traced: true, mapper: true, remembers: mapTables, wanted: honest},
		{name: "path_truncate", program: "ipe_path_truncate", purpose: "learns which files of the initramfs are made shorter", remembers: mapWritten, wanted: honest},
		{name: "file_open", program: "ipe_file_open", purpose: "learns which files of the initramfs are written; strict rule proc-mem", remembers: mapWritten, rules: []strict.Rule{strict.ProcMem}, wanted: opens},
		{name: "task_alloc", program: "ipe_task_alloc", purpose: "passes the exceptions of a process on to what it forks", remembers: mapMarks, wanted: excepts},
		{name: "bprm_committed_creds", program: "ipe_committed", purpose: "marks processes of excepted executables", remembers: mapMarks, wanted: excepts},
		{name: "bprm_creds_for_exec", program: "ipe_bprm_creds", purpose: "decides what a process asks about before it reads a script", since: offsets.AsksFirst},
		{name: "bprm_check_security", program: "ipe_bprm_check", purpose: "decides execution"},
		{name: "mmap_file", program: "ipe_mmap_file", purpose: "decides executable mappings", rules: []strict.Rule{strict.MapWX}},
		{name: "file_mprotect", program: "ipe_file_mprotect", purpose: "decides mappings made executable", rules: []strict.Rule{strict.ProtectWX, strict.ExecMod}},
		{name: "kernel_read_file", program: "ipe_kernel_read_file", purpose: "decides files that the kernel reads for itself"},
		{name: "kernel_load_data", program: "ipe_kernel_load_data", purpose: "decides data that the kernel takes from a process"},
		tracing(traces, "ipe_ptrace", strict.Ptrace),
		tracing(traced, "ipe_traceme", strict.TraceMe),
		strictHook("inode_init_security_anon", "ipe_anon_inode", strict.Userfaultfd),
		killing("setup_arg_pages", "ipe_exec_stack", strict.ExecStack),
		killing("__x64_sys_personality", "ipe_personality", strict.Personality),
		killing("__ia32_sys_personality", "ipe_personality32", strict.Personality),
		killing("__x64_sys_brk", "ipe_brk", strict.Personality),
		killing("__ia32_sys_brk", "ipe_brk32", strict.Personality),
	}
}

// strictHook is one that judges a strict rule and nothing else.
func strictHook(name, program string, r strict.Rule) hook {
	return hook{name: name, program: program, purpose: "strict rule " + r.String(), rules: []strict.Rule{r}, optional: true, wanted: func(p engine.Profile) bool { return p.Rules.Any(r) }}
}

// tracing is one that also takes exceptions from who is traced.
func tracing(name, program string, r strict.Rule) hook {
	h := strictHook(name, program, r)
	h.wanted = func(p engine.Profile) bool { return p.Rules.Any(r) || excepts(p) }
	return h
}

// killing is one where the kernel has no hook.
func killing(name, program string, r strict.Rule) hook {
	h := strictHook(name, program, r)
	h.traced, h.since = true, func(k *btf.Spec) bool { return offsets.HasFunction(k, name) }
	return h
}

func opens(p engine.Profile) bool { return p.HonestFacts || p.Rules.Any(strict.ProcMem) }

func excepts(p engine.Profile) bool { return len(p.Exceptions) > 0 }

func announces(kernel *btf.Spec) bool { return offsets.HasHook(kernel, setIntegrity) }

func honest(p engine.Profile) bool { return p.HonestFacts }

// wantedBy tells whether a profile asks for it.
func (h hook) wantedBy(p engine.Profile) bool { return h.wanted == nil || h.wanted(p) }

// needed tells whether an engine without it does not enforce.
func (h hook) needed() bool { return h.since == nil && h.remembers == "" && !h.optional }

// supported returns those of hs that a kernel with these types has, but for what
// device-mapper has. One without a hook that all supported kernels have is an error.
func supported(hs []hook, kernel *btf.Spec) ([]hook, error) {
	var found []hook
	for _, h := range hs {
		switch {
		case h.mapper, h.since != nil && !h.since(kernel):
			continue
		case !h.traced && !offsets.HasHook(kernel, h.name):
			return nil, fmt.Errorf("look for hook %s: %w", h.name, btf.ErrNotFound)
		}
		found = append(found, h)
	}
	return found, nil
}
