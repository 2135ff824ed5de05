/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What must be remembered, for nothing that is live tells it: which tables mapped devices
 * have had, and which files of the initramfs somebody may have changed. These programs
 * are attached only if the profile asks for it. The one on file_open is also that of the
 * strict rule for what is opened.
 */
#pragma once

/* The live table of a device, 0 if it has none. False while it is not known where that is. */
static __always_inline bool find_live_table(__u64 md, __u64 *table)
{
	__u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&ipe_walk, &zero);

	if (!w || !w->mapper)
		return false;
	*table = peek(md, w->md_map);
	return true;
}

/*
 * Before the device gets another table. Its first one makes it a new device, whatever was
 * at that address. If there is no room nothing is known of it.
 */
SEC("fentry/dm_swap_table")
int BPF_PROG(ipe_swap_table, void *device, void *table)
{
	struct tables now = {};
	__u64 md = (__u64)device, before = 0;

	if (find_live_table(md, &before) && !before)
		now.only = (__u64)table;
	if (bpf_map_update_elem(&ipe_tables, &md, &now, BPF_ANY))
		bpf_map_delete_elem(&ipe_tables, &md);
	return 0;
}

SEC("fentry/dm_destroy")
int BPF_PROG(ipe_destroy_device, void *device)
{
	__u64 md = (__u64)device;

	bpf_map_delete_elem(&ipe_tables, &md);
	return 0;
}

/*
 * Attached for the moment in which user space reads the name of each device, once the
 * program above is: so devices become known that were there before.
 */
SEC("fentry/dm_copy_name_and_uuid")
int BPF_PROG(ipe_known_device, void *device)
{
	struct tables now = { .before = 1 };
	__u64 md = (__u64)device;

	if (find_live_table(md, &now.only) && now.only)
		bpf_map_update_elem(&ipe_tables, &md, &now, BPF_NOEXIST);
	return 0;
}

/* For a file to become shorter it need not be opened for writing. */
static __always_inline bool writes(struct file *file)
{
	return file->f_mode & FMODE_WRITE || file->f_flags & O_TRUNC;
}

static __always_inline int note_written(struct inode *inode)
{
	__u64 key = (__u64)inode;
	__u8 one = 1;

	return bpf_map_update_elem(&ipe_written, &key, &one, BPF_ANY) ? -ENOMEM : 0;
}

SEC("lsm/file_open")
int BPF_PROG(ipe_file_open, struct file *file)
{
	struct super_block *sb;

	if (!writes(file))
		return 0;
	sb = file->f_inode->i_sb;
	if (sb->s_magic == PROC_SUPER_MAGIC)
		return strict_open(file);
	return is_rootfs(sb) && honest_facts() ? note_written(file->f_inode) : 0;
}

SEC("lsm/path_truncate")
int BPF_PROG(ipe_path_truncate, const struct path *path)
{
	struct inode *inode = path->dentry->d_inode;

	if (!inode || !is_rootfs(inode->i_sb))
		return 0;
	return note_written(inode);
}
