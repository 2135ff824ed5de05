/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A decision: at most four lookups in the active policy's tables. See internal/ruletab. */
#pragma once

#define NEED_ALL (IPE_NEED_COMBO | IPE_NEED_ROOT | IPE_NEED_FILE)

struct decision {
	__u64 generation;
	__u32 first; /* rule index * 2 + deny, or IPE_NO_MATCH */
	__u32 fallback; /* action | scope << 8 */
	__u64 file; /* about which it is, for the record */
};

static __always_inline bool denies(const struct decision *d)
{
	if (d->first != IPE_NO_MATCH)
		return d->first & 1;
	return (d->fallback & 0xff) == IPE_DENY;
}

/* Not inline, so that BTF describes struct table_entry for the layout test. */
static __noinline __u32 first_of(const struct table_entry *e, __u32 combo)
{
	return e ? e->first[combo & IPE_NEED_COMBO] : IPE_NO_MATCH;
}

/* Lower *first to that of key, if the tables hold it. Gives the entry's root_id. */
static __always_inline __u32 look_up(void *table, const struct table_key *key, __u32 combo, __u32 *first)
{
	struct table_entry *e = bpf_map_lookup_elem(table, key);
	__u32 code;

	if (!e)
		return 0;
	code = first_of(e, combo);
	if (code < *first)
		*first = code;
	return e->root_id;
}

/* Apply the rules that name digests. */
static __always_inline void look_up_digests(void *table, struct facts *f, __u8 op, __u32 needs, __u32 combo,
					    struct decision *d)
{
	__u32 root_id = 0;

	if (needs & f->present & IPE_NEED_ROOT) {
		f->root.op = op;
		f->root.kind = IPE_KIND_ROOT;
		root_id = look_up(table, &f->root, combo, &d->first);
	}
	if (needs & f->present & IPE_NEED_FILE) {
		f->file.op = op;
		f->file.kind = IPE_KIND_FILE;
		look_up(table, &f->file, combo, &d->first);
		if (root_id) {
			f->file.kind = IPE_KIND_BOTH;
			f->file.root_id = root_id;
			look_up(table, &f->file, combo, &d->first);
		}
	}
}

/*
 * Decide op about a file. False if no policy is active. Tables without a header
 * for the operation, which user space never makes, deny.
 */
static __always_inline bool decide(struct decision *d, struct facts *f, __u8 op, struct file *file,
				   struct inode *inode)
{
	struct table_entry *header;
	__u32 zero = 0, needs, combo;
	void *table;

	table = bpf_map_lookup_elem(&ipe_active, &zero);
	if (!table)
		return false;
	d->first = IPE_NO_MATCH;
	d->fallback = IPE_DENY;
	f->root.op = op; /* all else is 0: the key of the header */
	header = bpf_map_lookup_elem(table, &f->root);
	if (!header)
		return true;
	d->generation = header->generation;
	d->fallback = header->fallback;
	needs = header->needs;
	gather(f, needs, file, inode);
	combo = f->present & needs & IPE_NEED_COMBO;
	d->first = first_of(header, combo);
	look_up_digests(table, f, op, needs, combo, d);
	return true;
}
