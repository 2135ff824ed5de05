/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that the programs read, each with the members they use and no
 * others. The loader relocates every access against the running kernel's BTF.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

#define NULL ((void *)0)
#define true 1
#define false 0

#define EACCES 13
#define ENOMEM 12
#define ENOSPC 28
#define VM_EXEC 0x4UL
#define PROT_EXEC 0x4UL
#define S_VERITY (1U << 16)
#define MINORBITS 20
#define OVERLAYFS_SUPER_MAGIC 0x794c7630
#define BTRFS_SUPER_MAGIC 0x9123683e
#define EXT4_SUPER_MAGIC 0xef53
#define EROFS_SUPER_MAGIC 0xe0f5e1e2
#define SQUASHFS_MAGIC 0x73717368
#define TMPFS_MAGIC 0x01021994
#define XFS_SUPER_MAGIC 0x58465342
#define RAMFS_MAGIC 0x858458f6
#define SB_RDONLY 1UL
#define CLONE_THREAD 0x10000UL
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define FMODE_WRITE 2U
#define O_TRUNC 01000U
/* FILESYSTEM_MAX_STACK_DEPTH: overlays on overlays */
#define MAX_STACK_DEPTH 2

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
#define BPF_F_NO_PREALLOC (1U << 0)
#define BPF_F_RDONLY_PROG (1U << 7)
#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_RB_AVAIL_DATA 0
struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct btf {
	__u32 named_start_id; /* where types are sorted by name, as on 7.3 and not on 6.12 */
};

struct block_device;

struct gendisk {
	char disk_name[32];
	struct block_device *part0;
	void *private_data;
};

struct block_device {
	__u32 bd_dev;
	struct gendisk *bd_disk;
};

struct module {
	char name[56];
};

struct file_system_type {
	const char *name;
	int fs_flags;
	struct module *owner;
};

struct fsverity_operations {
	long inode_info_offs; /* 6.18 and 6.19 */
};

struct super_block {
	struct dentry *s_root;
	struct file_system_type *s_type;
	unsigned long s_flags;
	struct block_device *s_bdev;
	void *s_fs_info;
	const struct fsverity_operations *s_vop;
	unsigned long s_magic;
	char s_id[32];
};

struct fsverity_hash_alg {
	const char *name;
	unsigned int digest_size;
};

struct merkle_tree_params {
	const struct fsverity_hash_alg *hash_alg;
};

struct rhash_head {
	void *next;
};

struct rhashtable_params {
	__u16 head_offset;
	void *hashfn;
};

struct bucket_table {
	unsigned int size;
	unsigned int nest;
	__u32 hash_rnd;
	struct bucket_table *future_tbl;
	void *buckets[];
};

struct rhashtable {
	struct bucket_table *tbl;
	unsigned int key_len;
	struct rhashtable_params p;
};

struct inode;

struct fsverity_info {
	struct rhash_head rhash_head; /* 7.0 and later */
	struct merkle_tree_params tree_params;
	__u8 file_digest[64];
	const struct inode *inode;
};

struct inode {
	unsigned int i_flags;
	struct super_block *i_sb;
	unsigned long i_ino;
	struct fsverity_info *i_verity_info; /* before 6.18 */
	void *i_private;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct qstr {
	union {
		struct {
			__u32 hash;
			__u32 len;
		};
		__u64 hash_len;
	};
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct dentry_operations {
	void *d_dname;
};

struct seqcount {
	unsigned int sequence;
};

struct seqcount_spinlock {
	struct seqcount seqcount;
};

struct dentry {
	struct seqcount_spinlock d_seq;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	const struct dentry_operations *d_op;
	struct super_block *d_sb;
	void *d_fsdata;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	unsigned int f_mode;
	unsigned int f_flags;
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct linux_binprm {
	struct file *file;
	unsigned int is_check : 1; /* 6.14 and later */
};

struct fs_struct {
	struct path root;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* x86 */
struct pt_regs {
	unsigned long bx;
	unsigned long di;
};

struct task_struct {
	int pid;
	unsigned int ptrace;
	struct task_struct *group_leader;
	__u64 self_exec_id;
	unsigned int personality;
	struct fs_struct *fs;
	struct files_struct *files;
};

struct proc_ns_operations {
	const char *name;
};

struct ns_common {
	const struct proc_ns_operations *ops;
};

/* from 6.9 on */
struct stashed_operations {
	void *put_data;
};

struct dma_buf {
	const char *name;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	void *anon_vma;
	struct file *vm_file;
};

/* include/linux/security.h, from 6.12 on */
enum lsm_integrity_type {
	LSM_INT_DMVERITY_SIG_VALID,
	LSM_INT_DMVERITY_ROOTHASH,
	LSM_INT_FSVERITY_BUILTINSIG_VALID,
};

/* include/linux/kernel_read_file.h */
enum kernel_read_file_id {
	READING_FIRMWARE = 1,
	READING_MODULE,
	READING_MODULE_COMPRESSED, /* newer kernels */
	READING_KEXEC_IMAGE,
	READING_KEXEC_INITRAMFS,
	READING_POLICY,
	READING_X509_CERTIFICATE,
};

/* include/linux/security.h */
enum kernel_load_data_id {
	LOADING_FIRMWARE = 1,
	LOADING_MODULE,
	LOADING_KEXEC_IMAGE,
	LOADING_KEXEC_INITRAMFS,
	LOADING_POLICY,
	LOADING_X509_CERTIFICATE,
};

#pragma clang attribute pop
