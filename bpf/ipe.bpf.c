// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Integrity Policy Enforcement as BPF LSM programs: the kernel side of the engine
 * in internal/engine/bpf. No program sleeps: a decision reads memory and at most
 * four hash entries.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "layout.gen.h"
#include "maps.h"
#include "peek.h"
#include "kept.h"
#include "fsverity.h"
#include "overlay.h"
#include "filesystem.h"
#include "btrfs.h"
#include "whole.h"
#include "honest.h"
#include "evidence.h"
#include "table.h"
#include "events.h"
#include "operations.h"
#include "except.h"
#include "strict.h"
#include "track.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * The policy's verdict on one event; what is the operation and the hook, as in a record.
 * Where strict rules are asked, too, the policy is first.
 */
static __noinline int judge(struct file *opened, __u32 what)
{
	struct file *file = plain_file(opened);
	struct decision d = { .file = (__u64)opened };
	struct inode *inode = file->f_inode;
	struct facts f = {};
	struct control *c;
	__u32 zero = 0, enforce;

	if (!decide(&d, &f, what, file, inode))
		return 0;
	c = bpf_map_lookup_elem(&ipe_control, &zero);
	if (!c)
		return -EACCES;
	enforce = c->enforce;
	if (denies(&d) || c->success_audit) {
		forget_facts(&f, KEEP);
		gather(&f, NEED_ALL, file, inode);
		record(&d, &f, enforce ? what | RECORD_ENFORCING : what);
	}
	return denies(&d) && enforce ? -EACCES : 0;
}

/* Whether the policy denies where there is no file, and so no fact. */
VERIFIED_ONCE int denied_without_file(__u32 what, KEPT)
{
	struct decision d = {};
	struct facts f = {};
	struct control *c;
	__u32 zero = 0, enforce;

	if (!decide(&d, &f, what, NULL, NULL))
		return 0;
	if (denies(&d) && (what & 0xff) == IPE_OP_EXECUTE && may_have_memory())
		return 0;
	c = bpf_map_lookup_elem(&ipe_control, &zero);
	if (!c)
		return true;
	enforce = c->enforce;
	if (denies(&d) || c->success_audit)
		record_without_file(&d, &f, enforce ? what | RECORD_ENFORCING : what, KEEP);
	return denies(&d) && enforce;
}

static __always_inline int judge_without_file(__u32 what)
{
	return denied_without_file(what, KEEP) ? -EACCES : 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(ipe_bprm_check, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;

	return judge(file, IPE_OP_EXECUTE | IPE_HOOK_BPRM_CHECK << 8);
}

/* 6.14 and later: a process asks whether it might execute a file, and then reads it itself. */
SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(ipe_bprm_creds, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;

	if (!bpf_core_field_exists(bprm->is_check) || !BPF_CORE_READ_BITFIELD(bprm, is_check))
		return 0;
	return judge(file, IPE_OP_EXECUTE | IPE_HOOK_BPRM_CREDS_FOR_EXEC << 8);
}

/*
 * Kernels before 7.0 call this with a NULL file but let the verifier believe that
 * it never is, and so drop a test of it. The raw argument is tested instead.
 */
SEC("lsm/mmap_file")
int BPF_PROG(ipe_mmap_file, struct file *file, unsigned long reqprot, unsigned long prot, unsigned long flags)
{
	__u64 raw = 0;
	int refused;

	if (!(prot & PROT_EXEC))
		return 0;
	if (bpf_get_func_arg(ctx, 0, &raw))
		return -EACCES;
	if (!raw || !file)
		refused = judge_without_file(IPE_OP_EXECUTE | IPE_HOOK_MMAP << 8);
	else
		refused = judge(file, IPE_OP_EXECUTE | IPE_HOOK_MMAP << 8);
	return refused ? refused : strict_mmap(raw, prot);
}

SEC("lsm/file_mprotect")
int BPF_PROG(ipe_file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)
{
	struct file *file;
	int refused = 0;

	if (!(prot & PROT_EXEC))
		return 0;
	file = vma->vm_file;
	if (vma->vm_flags & VM_EXEC)
		; /* the policy was asked when it became so */
	else if (!file)
		refused = judge_without_file(IPE_OP_EXECUTE | IPE_HOOK_MPROTECT << 8);
	else
		refused = judge(file, IPE_OP_EXECUTE | IPE_HOOK_MPROTECT << 8);
	return refused ? refused : strict_mprotect(vma, prot);
}

/* The kernel reads a file for itself: a module, firmware, a kernel to boot. */
SEC("lsm/kernel_read_file")
int BPF_PROG(ipe_kernel_read_file, struct file *file, enum kernel_read_file_id id)
{
	return judge(file, operation_of_read(id, KEEP) | IPE_HOOK_KERNEL_READ << 8);
}

/* The kernel takes the same from a process's memory; there is no file. */
SEC("lsm/kernel_load_data")
int BPF_PROG(ipe_kernel_load_data, enum kernel_load_data_id id)
{
	return judge_without_file(operation_of_load(id, KEEP) | IPE_HOOK_KERNEL_LOAD << 8);
}

/* Of each inode that is met again the last word counts: it may have been sealed anew. */
static __always_inline long remember(__u64 inode, bool is_signed)
{
	__u8 value = is_signed;

	return bpf_map_update_elem(&ipe_signed_inodes, &inode, &value, BPF_ANY);
}

/*
 * 6.12 and later: remember whose built-in fs-verity signature was found valid. The
 * verifier has no access to an argument of type void pointer but by the helper.
 */
SEC("lsm/inode_setintegrity")
int BPF_PROG(ipe_inode_setintegrity, struct inode *inode, enum lsm_integrity_type type)
{
	__u64 value = 0, size = 0;

	if (type != bpf_core_enum_value(enum lsm_integrity_type, LSM_INT_FSVERITY_BUILTINSIG_VALID))
		return 0;
	bpf_get_func_arg(ctx, 2, &value);
	bpf_get_func_arg(ctx, 3, &size);
	return remember((__u64)inode, value && size) ? -ENOMEM : 0;
}

/*
 * Before 6.12 nothing announces it; the end of the check tells. It is also called for
 * files without a signature, and is content if there need not be one.
 */
SEC("fexit/fsverity_verify_signature")
int BPF_PROG(ipe_verify_signature, const struct fsverity_info *info, const __u8 *signature, unsigned long size,
	     int ret)
{
	__u64 inode = (__u64)BPF_CORE_READ(info, inode);

	if (remember(inode, !ret && size)) /* no memory: then what was known before does not count either */
		bpf_map_delete_elem(&ipe_signed_inodes, &inode);
	return 0;
}

SEC("lsm/inode_free_security")
int BPF_PROG(ipe_inode_free_security, struct inode *inode)
{
	__u64 key = (__u64)inode;

	bpf_map_delete_elem(&ipe_signed_inodes, &key);
	if (is_memory(inode->i_sb->s_magic))
		bpf_map_delete_elem(&ipe_written, &key);
	return 0;
}
