/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of decisions. That one is lost is counted and changes no verdict. */
#pragma once

#define COMM_SIZE 16
#define DEVICE_SIZE 32

struct event_digest {
	__u8 alg[IPE_ALG_SIZE];
	__u8 sum[IPE_SUM_SIZE];
	__u8 len;
	__u8 pad[7];
};

/* What is walked or read of the file's path follows, up to the record's end. */
struct event {
	__u64 boot_ns;
	__u64 generation;
	__u64 ino;
	__u32 tgid;
	__u32 uid;
	__u32 first;
	__u32 fallback;
	__u32 present;
	__u8 op;
	__u8 hook;
	__u8 enforcing;
	__u8 has_file;
	__u8 path_kind;
	__u8 pad[7];
	__u8 comm[COMM_SIZE];
	__u8 device[DEVICE_SIZE];
	struct event_digest root;
	struct event_digest file;
};

#include "path.h"

/* What a record is about, in one word: the operation, the hook << 8, and this. */
#define RECORD_ENFORCING (1U << 16)
#include "shares.h"

static __always_inline void copy_digest(struct event_digest *to, const struct table_key *from)
{
	__builtin_memcpy(to->alg, from->alg, sizeof(to->alg));
	__builtin_memcpy(to->sum, from->sum, sizeof(to->sum));
	to->len = from->len;
	__builtin_memset(to->pad, 0, sizeof(to->pad));
}

/* What a record says of the file itself. */
static __always_inline void describe_file(struct event *e, __u64 addr)
{
	struct file *file = (struct file *)addr;

	__builtin_memset(e->device, 0, sizeof(e->device));
	e->has_file = !!file;
	e->ino = 0;
	if (!file)
		return;
	e->ino = BPF_CORE_READ(file, f_inode, i_ino);
	bpf_probe_read_kernel_str(e->device, sizeof(e->device), &BPF_CORE_READ(file, f_inode, i_sb)->s_id);
}

/* Fill a record but for the path and its kind. */
VERIFIED_ONCE int describe(struct event *e, const struct decision *d, const struct facts *f, __u32 what, KEPT)
{
	if (!e || !d || !f)
		return 0;
	e->boot_ns = bpf_ktime_get_boot_ns();
	e->generation = d->generation;
	e->tgid = bpf_get_current_pid_tgid() >> 32;
	e->uid = bpf_get_current_uid_gid();
	e->first = d->first;
	e->fallback = d->fallback;
	e->present = f->present;
	e->op = what;
	e->hook = what >> 8;
	e->enforcing = what >> 16;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	copy_digest(&e->root, &f->root);
	copy_digest(&e->file, &f->file);
	describe_file(e, d->file);
	return 0;
}

static __always_inline void lose(void)
{
	count_lost(is_reader() ? LOST_OWN : LOST_ROOM);
}

/*
 * Write a record with the path behind it. False if the path changed meanwhile; then
 * there is none, unless this was the last try.
 */
VERIFIED_ONCE int try_record(const struct decision *d, const struct facts *f, __u32 what, __u32 last, KEPT)
{
	struct path_writer w = {};
	struct event *e;
	bool stable;

	if (!d || !f)
		return true;
	bpf_ringbuf_reserve_dynptr(&ipe_events, sizeof(*e) + measure_path(&w.walk, d->file), 0, &w.record);
	e = bpf_dynptr_data(&w.record, 0, sizeof(*e));
	if (!e) {
		bpf_ringbuf_discard_dynptr(&w.record, 0);
		lose();
		return true;
	}
	stable = write_path(&w, d->file);
	if (!stable && !last) {
		bpf_ringbuf_discard_dynptr(&w.record, 0);
		return false;
	}
	e->path_kind = stable ? w.walk.kind : PATH_UNSTABLE;
	describe(e, d, f, what, KEEP);
	bpf_ringbuf_submit_dynptr(&w.record, 0);
	return true;
}

static __always_inline void record(const struct decision *d, const struct facts *f, __u32 what)
{
	int i;

	if (!may_record(KEEP))
		return;
	for (i = 1; i <= PATH_TRIES; i++)
		if (try_record(d, f, what, i == PATH_TRIES, KEEP))
			return;
}

/* The same where there is no file: no path is walked, nor does the verifier follow one. */
VERIFIED_ONCE int record_without_file(const struct decision *d, const struct facts *f, __u32 what, KEPT)
{
	struct event *e;

	if (!may_record(KEEP))
		return 0;
	e = bpf_ringbuf_reserve(&ipe_events, sizeof(*e), 0);
	if (!e) {
		lose();
		return 0;
	}
	e->path_kind = PATH_WALKED;
	describe(e, d, f, what, KEEP);
	bpf_ringbuf_submit(e, 0);
	return 0;
}
