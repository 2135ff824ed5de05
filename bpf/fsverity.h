/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the kernel keeps the fs-verity information of an inode: in struct inode, then
 * in the file system's own inode (6.18), then in a table (7.0). This finds the latter
 * two. The table is the kernel's resizable hash table, read as its own readers do: a
 * program is a reader of RCU. What it does not understand it does not find.
 */
#pragma once

/* The last step of the hash lookup3, which is in the public domain, by Bob Jenkins. */
static __always_inline __u32 rotate(__u32 x, int k)
{
	return x << k | x >> (32 - k);
}

#define MIX(x, y, k) (x ^= y, x -= rotate(y, k))

/* What the table's hash function gives for a key of one pointer. */
static __always_inline __u32 hash_pointer(__u64 key, __u32 seed)
{
	__u32 c = 0xdeadbeef + 8 + seed;
	__u32 a = c + (__u32)key, b = c + (__u32)(key >> 32);

	MIX(c, b, 14);
	MIX(a, c, 11);
	MIX(b, a, 25);
	MIX(c, b, 16);
	MIX(a, c, 4);
	MIX(b, a, 14);
	MIX(c, b, 24);
	return c;
}

/* Entries are few in each bucket; a table that is being resized has up to two successors. */
#define SEEK_STEPS 256

struct seek {
	__u64 inode;
	__u64 table;
	__u64 bucket;
	__u64 at; /* an entry; the end of a chain, which is odd; or 0 before its begin */
	__u64 head_offset;
	__u64 found;
};

/* Bit 0 of a bucket is a lock; the end of a chain is the address of its bucket, plus 1. */
static __always_inline void enter_bucket(struct seek *s)
{
	struct bucket_table *t = (struct bucket_table *)s->table;
	__u32 hash = hash_pointer(s->inode, BPF_CORE_READ(t, hash_rnd));
	__u32 index = hash & (BPF_CORE_READ(t, size) - 1);

	s->bucket = (__u64)&t->buckets + index * sizeof(void *);
	s->at = peek(s->bucket, 0) & ~1ULL;
	if (!s->at)
		s->at = s->bucket | 1;
}

/* One step along a chain; 1 at the end of all. */
static long seek_step(__u32 i, struct seek *s)
{
	struct bucket_table *t = (struct bucket_table *)s->table;
	__u64 info;

	if (!t || BPF_CORE_READ(t, nest)) /* made of pieces, when memory is short: not understood */
		return 1;
	if (!s->at) {
		enter_bucket(s);
		return 0;
	}
	if (s->at & 1) {
		/* The end of another chain: the entry was moved while it was looked at. Again. */
		if (s->at == (s->bucket | 1))
			s->table = (__u64)BPF_CORE_READ(t, future_tbl);
		s->at = 0;
		return 0;
	}
	info = s->at - s->head_offset;
	if ((__u64)BPF_CORE_READ((struct fsverity_info *)info, inode) == s->inode) {
		s->found = info;
		return 1;
	}
	s->at = peek(s->at, 0); /* struct rhash_head is a pointer to the next */
	return 0;
}

static __always_inline __u64 find_in_table(__u64 inode)
{
	struct seek s = { .inode = inode };
	struct rhashtable *ht;
	struct walk *w;
	__u32 zero = 0;

	w = bpf_map_lookup_elem(&ipe_walk, &zero);
	if (!w || !w->verity_table)
		return 0;
	ht = (struct rhashtable *)w->verity_table;
	if ((__u64)BPF_CORE_READ(ht, p.hashfn) != w->verity_hash || BPF_CORE_READ(ht, key_len) != 2)
		return 0;
	s.head_offset = BPF_CORE_READ(ht, p.head_offset);
	s.table = (__u64)BPF_CORE_READ(ht, tbl);
	bpf_loop(SEEK_STEPS, seek_step, &s, 0);
	return s.found;
}

/* The struct fsverity_info of an inode that has none itself; 0 if there is none. */
VERIFIED_ONCE __u64 find_verity_info(__u64 addr, KEPT)
{
	struct inode *inode = (struct inode *)addr;
	const struct fsverity_operations *vop;

	if (!(BPF_CORE_READ(inode, i_flags) & S_VERITY))
		return 0;
	if (bpf_core_field_exists(struct fsverity_operations, inode_info_offs)) {
		vop = BPF_CORE_READ(inode, i_sb, s_vop);
		return vop ? peek(addr + BPF_CORE_READ(vop, inode_info_offs), 0) : 0;
	}
	if (bpf_core_field_exists(struct fsverity_info, rhash_head))
		return find_in_table(addr);
	return 0;
}
