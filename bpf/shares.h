/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who may write how many records, so that one user's denials, which cost nothing to
 * provoke, do not take the place of other users' and of root's. What is refused is
 * counted. Verdicts do not depend on it.
 */
#pragma once

/* Root's records find no room in the last eighth of the ring buffer, other users' none in the last quarter. */
#define ROOT_BYTES (IPE_RING_BYTES / 8 * 7)
#define USER_BYTES (IPE_RING_BYTES / 4 * 3)

/*
 * Records that one user may cause at once, a sixth of the ring buffer, and in how long
 * one more: 128 in a second are little work for the reader.
 */
#define SHARE_RECORDS 1024
#define SHARE_NS (1000000000ULL / 128)

static __always_inline void count_lost(__u32 why)
{
	__u64 *lost = bpf_map_lookup_elem(&ipe_lost, &why);

	if (lost)
		__sync_fetch_and_add(lost, 1);
}

static __always_inline bool is_reader(void)
{
	__u32 zero = 0, *reader = bpf_map_lookup_elem(&ipe_reader, &zero);

	return reader && *reader == bpf_get_current_pid_tgid() >> 32;
}

/* NULL if there is no memory for one more user. */
static __always_inline struct share *share_of(__u32 uid)
{
	struct share fresh = {}, *s = bpf_map_lookup_elem(&ipe_shares, &uid);

	if (s)
		return s;
	bpf_map_update_elem(&ipe_shares, &uid, &fresh, BPF_NOEXIST); /* another CPU may be first */
	return bpf_map_lookup_elem(&ipe_shares, &uid);
}

/* CPUs that do this at once may both give back what is due: then a few records more are written. */
static __always_inline void give_back(struct share *s)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 due = (now - s->since) / SHARE_NS;
	__u32 used = s->used;

	if (!due)
		return;
	s->since = now;
	s->used = used > due ? used - due : 0;
}

static __always_inline bool within_share(__u32 uid)
{
	struct share *s = share_of(uid);

	if (!s)
		return true;
	give_back(s);
	if (s->used < SHARE_RECORDS) {
		__sync_fetch_and_add(&s->used, 1);
		return true;
	}
	__sync_fetch_and_add(&s->over, 1);
	return false;
}

/* Whether the current task's record may be written; if not, it is counted. */
VERIFIED_ONCE int may_record(KEPT)
{
	__u64 used = bpf_ringbuf_query(&ipe_events, BPF_RB_AVAIL_DATA);
	__u32 uid = bpf_get_current_uid_gid();

	if (is_reader())
		return true;
	if (used >= (uid ? USER_BYTES : ROOT_BYTES)) {
		count_lost(LOST_ROOM);
		return false;
	}
	if (!uid || within_share(uid))
		return true;
	count_lost(LOST_SHARE);
	return false;
}
