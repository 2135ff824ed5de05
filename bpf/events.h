/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of decisions. That one is lost is counted and changes no verdict. */
#pragma once

#define COMM_SIZE 16
#define DEVICE_SIZE 32
#define NAME_SIZE 64

struct event_digest {
	__u8 alg[IPE_ALG_SIZE];
	__u8 sum[IPE_SUM_SIZE];
	__u8 len;
	__u8 pad[7];
};

struct event {
	__u64 boot_ns;
	__u64 generation;
	__u64 ino;
	__u32 tgid;
	__u32 first;
	__u32 fallback;
	__u32 present;
	__u8 op;
	__u8 hook;
	__u8 enforcing;
	__u8 has_file;
	__u8 pad[4];
	__u8 comm[COMM_SIZE];
	__u8 device[DEVICE_SIZE];
	__u8 name[NAME_SIZE];
	struct event_digest root;
	struct event_digest file;
};

static __always_inline void copy_digest(struct event_digest *to, const struct table_key *from)
{
	__builtin_memcpy(to->alg, from->alg, sizeof(to->alg));
	__builtin_memcpy(to->sum, from->sum, sizeof(to->sum));
	to->len = from->len;
	__builtin_memset(to->pad, 0, sizeof(to->pad));
}

static __always_inline void count_lost(void)
{
	__u32 zero = 0;
	__u64 *lost = bpf_map_lookup_elem(&ipe_lost, &zero);

	if (lost)
		__sync_fetch_and_add(lost, 1);
}

static __noinline void describe_file(struct event *e, __u64 addr)
{
	struct file *file = (struct file *)addr;

	if (!e)
		return;
	__builtin_memset(e->device, 0, sizeof(e->device));
	__builtin_memset(e->name, 0, sizeof(e->name));
	e->has_file = !!file;
	e->ino = 0;
	if (!file)
		return;
	e->ino = BPF_CORE_READ(file, f_inode, i_ino);
	bpf_probe_read_kernel_str(e->device, sizeof(e->device), &BPF_CORE_READ(file, f_inode, i_sb)->s_id);
	bpf_probe_read_kernel_str(e->name, sizeof(e->name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
}

static __noinline void record(const struct decision *d, const struct facts *f, __u64 file, __u32 where)
{
	struct event *e;

	if (!d || !f)
		return;
	e = bpf_ringbuf_reserve(&ipe_events, sizeof(*e), 0);
	if (!e) {
		count_lost();
		return;
	}
	e->boot_ns = bpf_ktime_get_boot_ns();
	e->generation = d->generation;
	e->tgid = bpf_get_current_pid_tgid() >> 32;
	e->first = d->first;
	e->fallback = d->fallback;
	e->present = f->present;
	e->op = where;
	e->hook = where >> 8;
	e->enforcing = where >> 16;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	copy_digest(&e->root, &f->root);
	copy_digest(&e->file, &f->file);
	describe_file(e, file);
	bpf_ringbuf_submit(e, 0);
}
