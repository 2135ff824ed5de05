/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules that are judged beside the policy: what becomes of verified code after the
 * verdict. Each is off, monitored or enforced; without a policy none is looked at, and
 * where the policy is not enforced none is.
 */
#pragma once

#define PROT_WRITE 0x2UL
#define PROC_SUPER_MAGIC 0x9fa0
#define PTRACE_MODE_ATTACH 0x2
#define READ_IMPLIES_EXEC 0x0400000
/* personality(2) with this only asks */
#define PERSONALITY_ASKED 0xffffffffU
#define SIGKILL 9

/* include/linux/binfmts.h */
#define EXSTACK_DISABLE_X 1
#define EXSTACK_ENABLE_X 2

/* A record of a rule has this for an operation, and the rule's number for a hook. */
#define RECORD_RULE 0xffU

struct rule_count {
	__u64 monitored;
	__u64 refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPE_NUM_RULES);
	__type(key, __u32);
	__type(value, struct rule_count);
} ipe_rules SEC(".maps");

static __always_inline void count_rule(__u32 rule, bool refused)
{
	struct rule_count *n = bpf_map_lookup_elem(&ipe_rules, &rule);

	if (n)
		__sync_fetch_and_add(refused ? &n->refused : &n->monitored, 1);
}

/* How a rule is switched now. */
static __always_inline __u32 switch_of(__u32 rule)
{
	__u32 zero = 0;
	struct profile *p = this_profile();
	struct control *c = bpf_map_lookup_elem(&ipe_control, &zero);

	if (!p || !c || rule >= IPE_NUM_RULES || !p->rules[rule] || !bpf_map_lookup_elem(&ipe_active, &zero))
		return IPE_SWITCH_OFF;
	return c->enforce ? p->rules[rule] : IPE_SWITCH_MONITOR;
}

/* Tell what a rule found, in a file or, with 0, in none; whether it is to be refused. */
VERIFIED_ONCE int is_refused(__u32 rule, __u64 file, KEPT)
{
	struct decision d = { .file = file };
	struct facts f = {};
	__u32 is = switch_of(rule), what = RECORD_RULE | rule << 8;

	if (is != IPE_SWITCH_OFF)
		is = switch_for_current(rule, is);
	if (is == IPE_SWITCH_OFF)
		return 0;
	if (is == IPE_SWITCH_ENFORCE)
		what |= RECORD_ENFORCING;
	count_rule(rule, is == IPE_SWITCH_ENFORCE);
	if (file)
		record(&d, &f, what);
	else
		record_without_file(&d, &f, what, KEEP);
	return is == IPE_SWITCH_ENFORCE;
}

static __always_inline int found(__u32 rule, __u64 file)
{
	return is_refused(rule, file, KEEP) ? -EACCES : 0;
}

/* Where the kernel asks nobody nothing can be refused: the process ends. */
static __always_inline void kill_for(__u32 rule, __u64 file)
{
	if (found(rule, file))
		bpf_send_signal(SIGKILL);
}

/* An executable mapping of a file, or of none. */
static __always_inline int strict_mmap(__u64 file, unsigned long prot)
{
	return prot & PROT_WRITE ? found(IPE_RULE_MAP_WX, file) : 0;
}

/* A mapping that becomes executable, or stays it. */
static __always_inline int strict_mprotect(struct vm_area_struct *vma, unsigned long prot)
{
	__u64 file = (__u64)vma->vm_file;
	__u32 rule = prot & PROT_WRITE ? IPE_RULE_PROTECT_WX : IPE_RULE_EXECMOD;

	if (rule == IPE_RULE_EXECMOD && (vma->vm_flags & VM_EXEC || !file || !vma->anon_vma))
		return 0;
	return found(rule, number_of(vma->vm_file));
}

static __always_inline int strict_open(struct file *file)
{
	char name[5] = {};

	/* The length is at hand; to read the name costs most. */
	if (file->f_path.dentry->d_name.len != sizeof("mem") - 1)
		return 0;
	bpf_probe_read_kernel_str(name, sizeof(name), file->f_path.dentry->d_name.name);
	if (__builtin_memcmp(name, "mem", sizeof("mem")))
		return 0;
	return found(IPE_RULE_PROC_MEM, number_of(file));
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(ipe_ptrace, struct task_struct *child, unsigned int mode)
{
	int refused;

	if (!(mode & PTRACE_MODE_ATTACH))
		return 0;
	refused = found(IPE_RULE_PTRACE, 0);
	return refused ? refused : void_mark(bpf_get_current_task_btf(), child);
}

SEC("lsm/ptrace_traceme")
int BPF_PROG(ipe_traceme, struct task_struct *parent)
{
	int refused = found(IPE_RULE_TRACEME, 0);

	return refused ? refused : void_mark(parent, bpf_get_current_task_btf());
}

/* Of the system call, and of /dev/userfaultfd. */
SEC("lsm/inode_init_security_anon")
int BPF_PROG(ipe_anon_inode, struct inode *inode, const struct qstr *name)
{
	char text[sizeof("[userfaultfd]")] = {};

	bpf_probe_read_kernel_str(text, sizeof(text), name->name);
	return __builtin_memcmp(text, "[userfaultfd]", sizeof(text)) ? 0 : found(IPE_RULE_USERFAULTFD, 0);
}

static __always_inline bool reads_imply_exec(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->personality & READ_IMPLIES_EXEC;
}

/* The stack of a new program, which no hook sees; a binary that says nothing has it as its personality has it. */
SEC("fentry/setup_arg_pages")
int BPF_PROG(ipe_exec_stack, struct linux_binprm *bprm, unsigned long top, int executable)
{
	if (executable == EXSTACK_ENABLE_X || (executable != EXSTACK_DISABLE_X && reads_imply_exec()))
		kill_for(IPE_RULE_EXEC_STACK, number_of(bprm->file));
	return 0;
}

static __always_inline int asked_personality(__u32 asked)
{
	if (asked != PERSONALITY_ASKED && asked & READ_IMPLIES_EXEC)
		kill_for(IPE_RULE_PERSONALITY, 0);
	return 0;
}

SEC("fentry/__x64_sys_personality")
int BPF_PROG(ipe_personality, struct pt_regs *regs)
{
	return asked_personality(BPF_CORE_READ(regs, di));
}

SEC("fentry/__ia32_sys_personality")
int BPF_PROG(ipe_personality32, struct pt_regs *regs)
{
	return asked_personality(BPF_CORE_READ(regs, bx));
}

/* Who had it before gets executable memory by brk(2), which no hook sees. */
static __always_inline int asked_memory(void)
{
	if (reads_imply_exec())
		kill_for(IPE_RULE_PERSONALITY, 0);
	return 0;
}

SEC("fentry/__x64_sys_brk")
int BPF_PROG(ipe_brk, struct pt_regs *regs)
{
	return asked_memory();
}

SEC("fentry/__ia32_sys_brk")
int BPF_PROG(ipe_brk32, struct pt_regs *regs)
{
	return asked_memory();
}
