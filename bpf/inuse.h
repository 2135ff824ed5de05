/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists the fs-verity files that processes have open or mapped, for who is to look at
 * them by procfs. No file system is asked anything: one of a dead server, which would
 * never answer, does not matter.
 */
#pragma once

/* What the kernel gives to iterators; interface to user space, hence not relocated. */
struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u64 fd; /* in the lower half */
	struct file *file;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};

struct in_use {
	__u64 inode; /* its address: which file it is */
	__u64 start; /* of the mapping; 0 if it is open */
	__u64 end;
	__u32 pid;
	__u32 fd;
};

static __always_inline bool has_verity(struct file *file)
{
	return file->f_inode->i_flags & S_VERITY;
}

/* Not inline, so that BTF describes struct in_use. */
static __noinline int tell(struct seq_file *seq, struct in_use *u)
{
	if (u)
		bpf_seq_write(seq, u, sizeof(*u));
	return 0;
}

SEC("iter/task_file")
int ipe_open_files(__u64 *given)
{
	struct bpf_iter__task_file *ctx = (void *)given;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct in_use u = {};

	if (!task || !file || !has_verity(file))
		return 0;
	u.inode = (__u64)file->f_inode;
	u.pid = task->pid;
	u.fd = ctx->fd;
	return tell(ctx->meta->seq, &u);
}

SEC("iter/task_vma")
int ipe_mapped_files(__u64 *given)
{
	struct bpf_iter__task_vma *ctx = (void *)given;
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct in_use u = {};
	struct file *file;

	if (!task || !vma)
		return 0;
	file = vma->vm_file;
	if (!file || !has_verity(file))
		return 0;
	u.inode = (__u64)file->f_inode;
	u.start = vma->vm_start;
	u.end = vma->vm_end;
	u.pid = task->pid;
	return tell(ctx->meta->seq, &u);
}
