/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether what dm-verity says of a volume holds for all that is read from it. The kernel's
 * own IPE does not ask; a profile may.
 */
#pragma once

static __always_inline struct profile *this_profile(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ipe_profile, &zero);
}

static __always_inline bool honest_facts(void)
{
	struct profile *p = this_profile();

	return p && p->honest;
}

static __always_inline bool followed_all(void)
{
	struct profile *p = this_profile();

	return p && !p->missed;
}

/*
 * The live table is the only one that its device has had: pages that are cached come from
 * no other. Were a change of tables not noticed, the table would be another than the one
 * that is known, and a device that is not known at all holds nothing.
 */
static __always_inline bool has_one_table(struct walk *w, __u64 verity)
{
	__u64 table = peek(peek(verity, w->verity_target), w->target_table);
	__u64 md = peek(table, w->table_md);
	struct tables *known;

	if (w->verity_target == IPE_NO_OFFSET || !table || !followed_all())
		return false;
	known = bpf_map_lookup_elem(&ipe_tables, &md);
	return known && known->only == table;
}

/* A file of the initramfs that has been opened for writing; by address, for all callers alike. */
static __always_inline bool was_written(__u64 inode)
{
	return bpf_map_lookup_elem(&ipe_written, &inode);
}

/* Each block is verified whenever it is read, and one that is wrong is not handed out. */
static __always_inline bool always_verifies(struct walk *w, __u64 verity)
{
	if (w->verity_mode == IPE_NO_OFFSET || w->verity_validated == IPE_NO_OFFSET)
		return false;
	return peek32(verity, w->verity_mode) != w->verity_logging && !peek(verity, w->verity_validated);
}

static __always_inline bool holds(__u64 verity, struct super_block *sb, bool typed)
{
	__u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&ipe_walk, &zero);

	return w && always_verifies(w, verity) && has_one_table(w, verity) && is_whole(w, sb, typed);
}

/* Whether a volume's facts hold for the files of a superblock. */
static __noinline bool volume_holds(__u64 verity, struct super_block *sb)
{
	return sb && holds(verity, sb, true);
}

/* The same by addresses, for all callers alike. */
static __noinline bool untyped_volume_holds(__u64 verity, __u64 sb)
{
	return holds(verity, (struct super_block *)sb, false);
}
