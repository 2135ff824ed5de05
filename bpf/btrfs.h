/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which block device holds all of a btrfs. It has no device of its own as other file
 * systems do but a set of them, which grows and shrinks while it is mounted.
 */
#pragma once

/* BTRFS_IOCTL_DEV_REPLACE_STATE_*: another device takes part, or did when this was mounted */
#define REPLACE_STARTED 1
#define REPLACE_SUSPENDED 4

/*
 * The device of a btrfs that is mounted read-only and has never had but this one; else
 * 0. A seed is none: a device that can be written may be added to it, and then new
 * files are there. The reads that must not give 0 prove those that must, for a read
 * that fails gives 0.
 */
static __always_inline __u64 btrfs_device(struct walk *w, struct super_block *sb)
{
	__u64 info, devices, device, replacing;

	if (!IS_TYPE(sb, false, "btrfs") || !(BPF_CORE_READ(sb, s_flags) & SB_RDONLY))
		return 0;
	info = (__u64)BPF_CORE_READ(sb, s_fs_info);
	replacing = peek(info, w->btrfs_replace_state);
	if (peek(info, w->btrfs_sb) != (__u64)sb || replacing == REPLACE_STARTED || replacing == REPLACE_SUSPENDED ||
	    peek(info, w->btrfs_replace_target))
		return 0;
	devices = peek(info, w->btrfs_devices);
	if (peek(devices, w->btrfs_num_devices) != 1 || peek(devices, w->btrfs_open_devices) != 1 ||
	    peek(devices, w->btrfs_missing_devices) || peek8(devices, w->btrfs_seeding) ||
	    peek(devices, w->btrfs_seed_list) != devices + w->btrfs_seed_list)
		return 0;
	device = peek(devices, w->btrfs_latest);
	if (peek(device, w->btrfs_device_owner) != devices)
		return 0;
	return peek(device, w->btrfs_device_bdev);
}
