/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Facts about a file, read from the live kernel objects at the time of the
 * decision. Reads either go through pointers whose type the verifier knows, or are
 * probe reads; both give 0, and so "absent", for a pointer that is gone.
 */
#pragma once

/* The longest algorithm name of the crypto API is read whole before it is judged. */
#define NAME_MAX_READ 32

struct facts {
	__u32 known; /* IPE_NEED_*: what was read */
	__u32 present; /* IPE_NEED_*: what is true or there */
	struct table_key root;
	struct table_key file;
};

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

/*
 * A file, as one that the verifier trusts no more than what is read of it. From 6.2 on it
 * looks, for each pointer that is read of one that it trusts, whether it may trust that
 * one, too: up to four times through all types of the kernel, by name
 * (btf_nested_type_is_trusted() in kernel/bpf/verifier.c). That was nearly half of a start on
 * 6.12. Where types are sorted by name it takes no time, and the cast would make each read dearer.
 */
static __always_inline struct file *plain_file(struct file *file)
{
	if (!bpf_rdonly_cast || bpf_core_field_exists(struct btf, named_start_id))
		return file;
	return bpf_rdonly_cast(file, bpf_core_type_id_kernel(struct file));
}

/* Fill a key's digest; false if it is none that a policy's tables could hold. */
static __noinline bool set_digest(struct table_key *key, __u64 name, __u64 sum, __u32 size)
{
	char alg[NAME_MAX_READ] = {};
	long n;

	if (!key)
		return false;
	n = bpf_probe_read_kernel_str(alg, sizeof(alg), (void *)name);
	if (n < 2 || n > IPE_ALG_SIZE || !size)
		return false;
	asm volatile("" : "+r"(size)); /* or both tests of size become one that the verifier cannot follow */
	if (size > IPE_SUM_SIZE)
		return false;
	if (bpf_probe_read_kernel(key->sum, size, (void *)sum))
		return false;
	__builtin_memcpy(key->alg, alg, IPE_ALG_SIZE);
	key->len = size;
	return true;
}

static __always_inline bool is_verity_target(struct walk *w, __u64 target)
{
	char name[8] = {};
	__u64 type = peek(target, w->target_type);

	bpf_probe_read_kernel_str(name, sizeof(name), (void *)peek(type, w->type_name));
	return !__builtin_memcmp(name, "verity", sizeof("verity"));
}

/*
 * The struct dm_verity of a block device: a mapped device whose live table is one
 * verity target. 0 for everything else; what lies on top of such a device is another
 * device.
 */
static __always_inline __u64 verity_of(struct block_device *bdev, bool typed, struct walk *w)
{
	struct gendisk *disk;
	__u64 table, target;

	if (!bdev || MEMBER(typed, bdev, bd_dev) >> MINORBITS != w->dm_major)
		return 0;
	disk = MEMBER(typed, bdev, bd_disk);
	/* The name as well: after a reload of the driver its number may be another's. */
	if (MEMBER(typed, disk, part0) != bdev || MEMBER(typed, disk, disk_name[0]) != 'd' ||
	    MEMBER(typed, disk, disk_name[1]) != 'm' || MEMBER(typed, disk, disk_name[2]) != '-')
		return 0;
	table = peek((__u64)MEMBER(typed, disk, private_data), w->md_map);
	if (!table || peek32(table, w->table_num_targets) != 1)
		return 0;
	target = peek(table, w->table_targets);
	if (!target || !is_verity_target(w, target))
		return 0;
	return peek(target, w->target_private);
}

static __noinline __u64 btrfs_verity(struct walk *w, __u64 sb)
{
	if (!w || !w->btrfs)
		return 0;
	return verity_of((struct block_device *)btrfs_device(w, (struct super_block *)sb), false, w);
}

/*
 * The struct dm_verity behind an inode: that of its superblock's own block device. A
 * btrfs has several devices, or one; what its superblock says of them does not count.
 */
static __always_inline __u64 find_verity(struct inode *inode, bool typed, struct walk *w)
{
	struct super_block *sb = MEMBER(typed, inode, i_sb);

	if (MEMBER(typed, sb, s_magic) == BTRFS_SUPER_MAGIC)
		return btrfs_verity(w, (__u64)sb);
	return verity_of(MEMBER(typed, sb, s_bdev), typed, w);
}

/* The generic algorithm name, as crypto_ahash_alg_name() gives it; a table line may hold a driver's. */
static __always_inline __u64 verity_alg_name(struct walk *w, __u64 verity)
{
	__u64 tfm;
	int i;

	for (i = 0; i < 2; i++) {
		if (w->verity_tfm[i] == IPE_NO_OFFSET)
			continue;
		tfm = peek(verity, w->verity_tfm[i]);
		if (tfm)
			return peek(tfm, w->tfm_alg[i]) + w->alg_cra_name;
	}
	return peek(verity, w->verity_alg_name);
}

static __always_inline bool verity_signed(struct walk *w, __u64 verity)
{
	if (w->verity_sig == IPE_NO_OFFSET || !peek(verity, w->verity_sig))
		return false;
	return w->verity_sig_size == IPE_NO_OFFSET || peek32(verity, w->verity_sig_size);
}

/* Whether user space has verified a signature of that root hash. */
static __noinline bool root_vouched(struct table_key *root)
{
	__u8 op;
	bool found;

	if (!root)
		return false;
	op = root->op;
	root->op = 0;
	found = bpf_map_lookup_elem(&ipe_signed_roots, root);
	root->op = op;
	return found;
}

/* The same for a key that its caller does not have on the stack: 6.1 looks up by no other. */
VERIFIED_ONCE int copy_vouched(const struct table_key *root, KEPT)
{
	struct table_key key;

	if (!root)
		return false;
	key = *root;
	key.op = 0;
	return !!bpf_map_lookup_elem(&ipe_signed_roots, &key);
}

/* dmverity_roothash and dmverity_signature */
static __always_inline void read_volume(struct facts *f, struct inode *inode, bool typed)
{
	__u32 zero = 0;
	struct walk *w = bpf_map_lookup_elem(&ipe_walk, &zero);
	struct super_block *sb;
	__u64 verity;

	f->known |= IPE_NEED_ROOT | IPE_NEED_ROOT_SIGNED;
	if (!inode || !w || !w->ready)
		return;
	verity = find_verity(inode, typed, w);
	if (!verity)
		return;
	sb = MEMBER(typed, inode, i_sb);
	if (honest_facts() && !(typed ? volume_holds(verity, sb) : untyped_volume_holds(verity, (__u64)sb)))
		return;
	if (verity_signed(w, verity))
		f->present |= IPE_NEED_ROOT_SIGNED;
	if (set_digest(&f->root, verity_alg_name(w, verity), peek(verity, w->verity_root_digest),
		       peek32(verity, w->verity_digest_size)))
		f->present |= IPE_NEED_ROOT;
	if (w->signed_roots && (f->present & IPE_NEED_ROOT) &&
	    (typed ? root_vouched(&f->root) : copy_vouched(&f->root, KEEP)))
		f->present |= IPE_NEED_ROOT_SIGNED;
}

VERIFIED_ONCE int read_untyped_info(struct facts *f, __u64 addr, KEPT)
{
	struct fsverity_info *info = (struct fsverity_info *)addr;
	const struct fsverity_hash_alg *alg;

	if (!f || !info)
		return 0;
	alg = BPF_CORE_READ(info, tree_params.hash_alg);
	if (!alg)
		return 0;
	if (set_digest(&f->file, (__u64)BPF_CORE_READ(alg, name), (__u64)&info->file_digest,
		       BPF_CORE_READ(alg, digest_size)))
		f->present |= IPE_NEED_FILE;
	return 0;
}

/* fsverity_digest */
static __always_inline void read_file_digest(struct facts *f, struct inode *inode, bool typed)
{
	const struct fsverity_hash_alg *alg;
	struct fsverity_info *info;

	f->known |= IPE_NEED_FILE;
	if (!inode)
		return;
	if (!bpf_core_field_exists(inode->i_verity_info)) {
		read_untyped_info(f, find_verity_info(number_of(inode), KEEP), KEEP);
		return;
	}
	info = MEMBER(typed, inode, i_verity_info);
	if (!info)
		return;
	alg = MEMBER(typed, info, tree_params.hash_alg);
	if (!alg)
		return;
	if (set_digest(&f->file, (__u64)MEMBER(typed, alg, name), (__u64)&info->file_digest,
		       MEMBER(typed, alg, digest_size)))
		f->present |= IPE_NEED_FILE;
}

/* fsverity_signature */
static __always_inline void read_file_signed(struct facts *f, struct inode *inode, bool typed)
{
	__u64 key = (__u64)inode;
	__u8 *is_signed;

	f->known |= IPE_NEED_FILE_SIGNED;
	if (!inode || !(MEMBER(typed, inode, i_flags) & S_VERITY))
		return;
	is_signed = bpf_map_lookup_elem(&ipe_signed_inodes, &key);
	if (is_signed && *is_signed)
		f->present |= IPE_NEED_FILE_SIGNED;
}

/* boot_verified */
static __noinline void read_boot(struct facts *f, struct file *file)
{
	if (!f)
		return;
	f->known |= IPE_NEED_BOOT;
	if (!file || !is_rootfs(file->f_path.mnt->mnt_sb))
		return;
	if (!honest_facts() || !was_written((__u64)file->f_inode))
		f->present |= IPE_NEED_BOOT;
}

static __always_inline void read_inode(struct facts *f, __u32 want, struct inode *inode, bool typed)
{
	if (want & (IPE_NEED_ROOT | IPE_NEED_ROOT_SIGNED))
		read_volume(f, inode, typed);
	if (want & IPE_NEED_FILE)
		read_file_digest(f, inode, typed);
	if (want & IPE_NEED_FILE_SIGNED)
		read_file_signed(f, inode, typed);
}

static __noinline void read_typed_inode(struct facts *f, __u32 want, struct inode *inode)
{
	if (f)
		read_inode(f, want, inode, true);
}

VERIFIED_ONCE int read_untyped_inode(struct facts *f, __u32 want, __u64 inode, KEPT)
{
	if (f)
		read_inode(f, want, (struct inode *)inode, false);
	return 0;
}

/* The verifier forgets what it knows of the facts, and follows the ways that led here as one. */
VERIFIED_ONCE int forget_facts(struct facts *f, KEPT)
{
	return !f;
}

/*
 * Read those of the wanted facts that are not known yet. Those of the inode are of
 * the one that holds the data, boot_verified of the file's own mount.
 */
static __always_inline void gather(struct facts *f, __u32 want, struct file *file, struct inode *inode)
{
	want &= ~f->known;
	if (want & IPE_NEED_BOOT)
		read_boot(f, file);
	if (!(want & ~IPE_NEED_BOOT))
		return;
	if (inode && inode->i_sb->s_magic == OVERLAYFS_SUPER_MAGIC)
		read_untyped_inode(f, want, data_inode((__u64)file), KEEP);
	else
		read_typed_inode(f, want, inode);
}
