/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose superblock it is. */
#pragma once

/* More than each name that is asked for has, with its end. */
#define TYPE_NAME_READ 12

/* include/linux/fs.h */
#define FS_USERNS_MOUNT 8

/*
 * Whether a superblock is of the file system that the kernel, or its module of that name,
 * calls so. The kernel lets no two types have one name; the offsets are those of this
 * module.
 */
static __always_inline bool is_type(struct super_block *sb, bool typed, const char *want, int size)
{
	struct file_system_type *type = MEMBER(typed, sb, s_type);
	struct module *owner = MEMBER(typed, type, owner);
	char name[TYPE_NAME_READ] = {}, module[TYPE_NAME_READ] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), MEMBER(typed, type, name));
	if (__builtin_memcmp(name, want, size))
		return false;
	if (!owner) /* built in: then the offsets are the kernel's own */
		return true;
	bpf_probe_read_kernel_str(module, sizeof(module), &owner->name);
	return !__builtin_memcmp(module, want, size);
}

static __always_inline bool is_memory(__u64 magic)
{
	return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC;
}

/*
 * The initramfs: user space cannot mount file systems of this type. Nearly none is of the
 * kernel's memory, and of those nearly each may be mounted by users: only then is the name
 * read, which costs most.
 */
static __always_inline bool is_rootfs(struct super_block *sb)
{
	char name[8] = {};

	if (!is_memory(sb->s_magic) || sb->s_type->fs_flags & FS_USERNS_MOUNT)
		return false;
	bpf_probe_read_kernel_str(name, sizeof(name), sb->s_type->name);
	return !__builtin_memcmp(name, "rootfs", sizeof("rootfs"));
}

#define IS_TYPE(sb, typed, name) is_type(sb, typed, name, sizeof(name))
