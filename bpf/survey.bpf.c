// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What all processes execute, with the facts that the engine would see now: see
 * internal/engine/bpf/survey.go. These programs are iterators. They run when iped reads
 * them, judge nothing and deny nothing; the facts are read by the functions with which
 * decisions read them, from the same maps.
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

#define EVERY_FACT (IPE_NEED_COMBO | IPE_NEED_ROOT | IPE_NEED_FILE)

/* include/linux/mm.h: a stack; whether it is executable, no hook is asked */
#define VM_GROWSDOWN 0x100UL

/*
 * include/linux/fs.h: counted as nobody's. Of the files that processes have mapped those
 * are so that another file system has opened in the place of its own, of a layer.
 */
#define FMODE_NOACCOUNT (1U << 29)

/* How a file, or memory, is used. */
#define USE_MAPPED 0
#define USE_EXE 1
#define USE_OPEN 2

#define HAS_FILE 1
#define UNLINKED 2

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Members that only these programs read; the loader leaves out what is behind three underscores. */
struct mm_struct___survey {
	struct file *exe_file;
};

struct task_struct___survey {
	int pid;
	int tgid;
	char comm[16];
	struct mm_struct___survey *mm;
};

struct vm_area_struct___survey {
	unsigned long vm_start;
	unsigned long vm_end;
	const void *vm_ops;
};

struct super_block___survey {
	__u32 s_dev;
};

struct inode___survey {
	unsigned int i_nlink;
};

struct file___survey {
	__u32 f_mode;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct___survey *task;
};

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct___survey *task;
	struct vm_area_struct *vma;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct___survey *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

/* One use. The facts are in it, since the stack has no room for two of them. */
struct use {
	__u64 from; /* of the mapping */
	__u64 to;
	__u64 ino;
	__u32 dev;
	__u32 pid; /* of the process, in the first namespace */
	__u32 fd;
	__u32 kind; /* USE_* */
	__u32 flags;
	__u32 pad;
	__u8 comm[16];
	struct facts facts;
};

struct asked {
	__u32 pid; /* whose open files are asked for */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct asked);
} ipe_survey_asked SEC(".maps");

/* Never written: it tells user space of the type. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct use);
} ipe_survey_use SEC(".maps");

static __always_inline void name_process(struct use *u, struct task_struct___survey *task)
{
	u->pid = task->tgid;
	bpf_probe_read_kernel_str(u->comm, sizeof(u->comm), task->comm);
}

static __always_inline void read_facts(struct use *u, struct file *file)
{
	struct inode *inode = file->f_inode;

	if (!inode)
		return;
	u->flags |= HAS_FILE;
	u->ino = inode->i_ino;
	u->dev = BPF_CORE_READ((struct super_block___survey *)inode->i_sb, s_dev);
	if (!BPF_CORE_READ((struct inode___survey *)inode, i_nlink))
		u->flags |= UNLINKED;
	gather(&u->facts, EVERY_FACT, file, inode);
	/* Asked is the file of an overlay or of FUSE, which lies on no rootfs, not that of the layer. */
	if (BPF_CORE_READ((struct file___survey *)file, f_mode) & FMODE_NOACCOUNT)
		u->facts.present &= ~IPE_NEED_BOOT;
}

SEC("iter/task_vma")
int ipe_survey_mapped(__u64 *given)
{
	struct bpf_iter__task_vma *ctx = (void *)given;
	struct task_struct___survey *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct vm_area_struct___survey *area = (void *)vma;
	struct use u = { .kind = USE_MAPPED };
	struct file *file;

	if (!task || !vma || !(vma->vm_flags & VM_EXEC) || vma->vm_flags & VM_GROWSDOWN)
		return 0;
	file = vma->vm_file;
	/* What the kernel itself puts there, the vdso for one, has operations and no file. */
	if (!file && area->vm_ops)
		return 0;
	name_process(&u, task);
	u.from = area->vm_start;
	u.to = area->vm_end;
	if (file)
		read_facts(&u, file);
	bpf_seq_write(ctx->meta->seq, &u, sizeof(u));
	return 0;
}

SEC("iter/task")
int ipe_survey_exe(__u64 *given)
{
	struct bpf_iter__task *ctx = (void *)given;
	struct task_struct___survey *task = ctx->task;
	struct use u = { .kind = USE_EXE };
	struct mm_struct___survey *mm;
	struct file *file;

	if (!task || task->pid != task->tgid)
		return 0;
	mm = task->mm;
	if (!mm)
		return 0;
	file = mm->exe_file;
	if (!file)
		return 0;
	name_process(&u, task);
	read_facts(&u, file);
	bpf_seq_write(ctx->meta->seq, &u, sizeof(u));
	return 0;
}

/* Files that iped has opened to ask for their facts. */
SEC("iter/task_file")
int ipe_survey_open(__u64 *given)
{
	struct bpf_iter__task_file *ctx = (void *)given;
	struct task_struct___survey *task = ctx->task;
	struct use u = { .kind = USE_OPEN };
	struct file *file = ctx->file;
	__u32 zero = 0;
	struct asked *asked = bpf_map_lookup_elem(&ipe_survey_asked, &zero);

	if (!task || !file || !asked || task->tgid != asked->pid)
		return 0;
	name_process(&u, task);
	u.fd = ctx->fd;
	read_facts(&u, file);
	bpf_seq_write(ctx->meta->seq, &u, sizeof(u));
	return 0;
}
