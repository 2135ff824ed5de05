/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which inode holds the data of a file of overlayfs. */
#pragma once

/* The inode of the upper file, if it is the one that has the data. */
static __always_inline __u64 upper_data(struct walk *w, __u64 inode)
{
	__u64 own = inode - w->ovl_vfs_inode;
	__u64 dentry = peek(own, w->ovl_upper_dentry);

	if (!dentry || !(peek(own, w->ovl_flags) >> (w->ovl_upper_data & 63) & 1))
		return 0;
	return (__u64)BPF_CORE_READ((struct dentry *)dentry, d_inode);
}

/*
 * The inode of the layer's file that was opened, which is what gets mapped; 0 if that
 * is not known. Also 0 if the file was copied up since: then it is the upper file that
 * gets read, and facts of either would be taken for facts of the other.
 */
static __noinline __u64 data_inode(__u64 file)
{
	__u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&ipe_walk, &zero);
	__u64 inode, upper;
	int i;

	if (!w || !w->overlay)
		return 0;
	for (i = 0; i < MAX_STACK_DEPTH; i++) {
		upper = upper_data(w, (__u64)BPF_CORE_READ((struct file *)file, f_inode));
		file = (__u64)BPF_CORE_READ((struct file *)file, private_data);
		if (w->ovl_realfile != IPE_NO_OFFSET)
			file = peek(file, w->ovl_realfile);
		inode = (__u64)BPF_CORE_READ((struct file *)file, f_inode);
		if (!inode || (upper && upper != inode))
			return 0;
		if (BPF_CORE_READ((struct inode *)inode, i_sb, s_magic) != OVERLAYFS_SUPER_MAGIC)
			return inode;
	}
	return 0;
}
