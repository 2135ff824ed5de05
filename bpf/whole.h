/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a file system reads all that it reads from its block device. Where a read that
 * fails would give the answer that it does, something else proves the read.
 */
#pragma once

/* No journal, or one on the device itself. The pointer that leads back to the superblock proves the others. */
static __always_inline bool ext4_is_whole(struct walk *w, __u64 sb, __u64 info, __u64 bdev)
{
	__u64 journal = peek(info, w->ext4_journal);

	if (!w->ext4 || peek(info, w->ext4_sb) != sb)
		return false;
	return !journal || peek(journal, w->journal_device) == bdev;
}

/*
 * No further devices, and no domain: files of all superblocks of one domain may share
 * their pages, whoever read them. It begins where the device does: further on there may
 * be an image in a file, with paths of its own. Nothing leads back to the superblock, so each read
 * says itself whether it failed.
 */
static __always_inline bool erofs_is_whole(struct walk *w, __u64 info)
{
	__u64 devices = peek(info, w->erofs_devices);

	if (w->erofs_begins != IPE_NO_OFFSET && !is_none(info, w->erofs_begins, sizeof(__u64)))
		return false;
	return w->erofs && is_none(info, w->erofs_domain, sizeof(__u64)) &&
	       is_none(devices, w->erofs_extra_devices, sizeof(__u32));
}

/*
 * Log and realtime part, if there is one, are on the device of the data. The pointer that
 * leads back to the superblock proves the others.
 */
static __always_inline bool xfs_is_whole(struct walk *w, __u64 sb, __u64 info)
{
	__u64 data = peek(info, w->xfs_data), realtime = peek(info, w->xfs_realtime);

	if (!w->xfs || peek(info, w->xfs_sb) != sb)
		return false;
	return data && peek(info, w->xfs_log) == data && (!realtime || realtime == data);
}

/* Of btrfs, whose device was found, that has been asked. One that is not here may have data anywhere. */
static __always_inline bool is_whole(struct walk *w, struct super_block *sb, bool typed)
{
	__u64 info = (__u64)MEMBER(typed, sb, s_fs_info), bdev = (__u64)MEMBER(typed, sb, s_bdev);

	switch ((__u32)MEMBER(typed, sb, s_magic)) {
	case BTRFS_SUPER_MAGIC:
		return true;
	case SQUASHFS_MAGIC:
		return IS_TYPE(sb, typed, "squashfs");
	case EXT4_SUPER_MAGIC:
		return IS_TYPE(sb, typed, "ext4") && ext4_is_whole(w, (__u64)sb, info, bdev);
	case EROFS_SUPER_MAGIC:
		return IS_TYPE(sb, typed, "erofs") && erofs_is_whole(w, info);
	case XFS_SUPER_MAGIC:
		return IS_TYPE(sb, typed, "xfs") && xfs_is_whole(w, (__u64)sb, info);
	}
	return false;
}
