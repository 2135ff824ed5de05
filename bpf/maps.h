/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs share with user space. All maps are pinned. */
#pragma once

/* Room for about 5,800 records, or 470 with the longest of paths; a reader that falls behind loses records, never verdicts. */
#define IPE_RING_BYTES (1 << 21)

/* An offset in struct walk that this kernel does not have. */
#define IPE_NO_OFFSET 0xffffffffU

/* A policy's tables: one hash map, so that a decision sees all of it or none. */
struct policy_table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(key_size, sizeof(struct table_key));
	__uint(value_size, sizeof(struct table_entry));
};

/* Slot 0 holds the active policy's tables; empty means no policy: all is allowed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_table);
} ipe_active SEC(".maps");

struct control {
	__u32 enforce;
	__u32 success_audit;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct control);
} ipe_control SEC(".maps");

/*
 * Where device-mapper, dm-verity and file systems, which may be modules, keep what is
 * read from them: byte offsets that user space takes from their BTF. While ready is 0
 * dm-verity is not loaded, or was a moment ago, and volumes have no facts. What has
 * no place in BTF are addresses, which are symbols.
 */
struct walk {
	/* 7.0 and later: the table of fs-verity information, and its hash function */
	__u64 verity_table;
	__u64 verity_hash;
	__u32 ready;
	__u32 dm_major;
	__u32 md_map;
	__u32 table_num_targets;
	__u32 table_targets;
	__u32 target_type;
	__u32 target_private;
	__u32 type_name;
	__u32 verity_root_digest;
	__u32 verity_digest_size;
	__u32 verity_alg_name;
	/* crypto handles, in the order to try, and where each keeps its crypto_alg */
	__u32 verity_tfm[2];
	__u32 tfm_alg[2];
	__u32 alg_cra_name;
	/* signed: pointer not NULL and, where there is a size, size not 0 */
	__u32 verity_sig;
	__u32 verity_sig_size;
	/* overlayfs: 0 if it is not there, or not understood */
	__u32 overlay;
	/* where the private data of an open file has that of the layer; before 6.13 it is that */
	__u32 ovl_realfile;
	__u32 ovl_vfs_inode;
	__u32 ovl_upper_dentry;
	__u32 ovl_flags;
	/* the flag of ovl_flags that says that the upper file has the data */
	__u32 ovl_upper_data;
	/* btrfs: 0 if it is not there, or not understood */
	__u32 btrfs;
	__u32 btrfs_sb;
	__u32 btrfs_devices;
	__u32 btrfs_replace_state;
	__u32 btrfs_replace_target;
	__u32 btrfs_num_devices;
	__u32 btrfs_open_devices;
	__u32 btrfs_missing_devices;
	__u32 btrfs_seeding;
	__u32 btrfs_seed_list;
	__u32 btrfs_latest;
	__u32 btrfs_device_owner;
	__u32 btrfs_device_bdev;
	/* How many root hashes are in ipe_signed_roots: none, nobody looks. */
	__u32 signed_roots;
	/* dm-verity: how the volume was opened; the mode in which what is wrong is only logged */
	__u32 verity_mode;
	__u32 verity_logging;
	/* the bits of blocks that are not looked at again */
	__u32 verity_validated;
	/* ext4: 0 if it is not there, or not understood */
	__u32 ext4;
	__u32 ext4_sb;
	__u32 ext4_journal;
	__u32 journal_device;
	/* how a volume leads back to its live table, and that to its device */
	__u32 verity_target;
	__u32 target_table;
	__u32 table_md;
	/* device-mapper: 0 if it is not there, or not understood; then there is no md_map */
	__u32 mapper;
	/* erofs: 0 if it is not there, or not understood */
	__u32 erofs;
	__u32 erofs_devices;
	__u32 erofs_domain;
	/* where on the device it begins; Linux 6.17 and later */
	__u32 erofs_begins;
	__u32 erofs_extra_devices;
	/* xfs: 0 if it is not there, or not understood */
	__u32 xfs;
	__u32 xfs_sb;
	__u32 xfs_data;
	__u32 xfs_log;
	__u32 xfs_realtime;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct walk);
} ipe_walk SEC(".maps");

/* What is asked of facts and of processes beyond what the kernel's own IPE asks. */
struct profile {
	/* 0: a fact is what the kernel's IPE takes for one */
	__u32 honest;
	/* The kernel has left out a program that follows tables: no volume holds what it says. */
	__u32 missed;
	/* the kinds of identities that have exceptions: bits 1 << IPE_BY_* */
	__u32 excepted;
	/* what becomes of what each strict rule finds: IPE_SWITCH_* */
	__u8 rules[IPE_NUM_RULES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct profile);
} ipe_profile SEC(".maps");

/* By what an executable is known. What its kind does not ask for is 0; the path stands at the end of its room. */
struct identity {
	struct table_key root;
	struct table_key file;
	char path[IPE_PATH_ROOM];
};

/* The identities that have exceptions, each with a number that says the same in all builds and profiles. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * IPE_MAX_EXCEPTIONS); /* one profile takes the place of another */
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct identity);
	__type(value, __u64);
} ipe_identities SEC(".maps");

/* What a path ends with: how long the last name is, and its last bytes. */
struct name_end {
	__u32 len;
	char end[IPE_NAME_END];
};

/* The names of the executables that are excepted by their paths. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * IPE_MAX_EXCEPTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct name_end);
	__type(value, __u8);
} ipe_names SEC(".maps");

/* The digests of the executables that are excepted by them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * IPE_MAX_EXCEPTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct table_key);
	__type(value, __u8);
} ipe_digests SEC(".maps");

/* What a process of an identity may: a switch more than 0 is one more than the IPE_SWITCH_* that the rule has at most. */
struct exception {
	__u8 rules[IPE_NUM_RULES];
	/* executable memory without a file */
	__u8 anon_exec;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * IPE_MAX_EXCEPTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, __u64);
	__type(value, struct exception);
} ipe_exceptions SEC(".maps");

/* One execution of an executable that has exceptions. */
struct birth {
	__u64 ns;
	__u64 pid;
};

struct mark {
	/* the identities' numbers, 0 for none */
	__u64 ids[IPE_NUM_BY];
	struct birth birth;
	/* the kernel's count of executions: with another one the mark is of what was executed before */
	__u64 execution;
	__u64 epoch;
};

/* In which time marks were made: who was traced before it, nobody saw. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u64);
} ipe_epoch SEC(".maps");

/*
 * What a process has executed, at the leader of its threads. All builds share it, and
 * the next one: a process keeps its exceptions.
 */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mark);
} ipe_marks SEC(".maps");

/* Bounds the memory for executions that were traced. What finds no room is not traced. */
#define IPE_MAX_VOID (1 << 16)

/* Executions of which a process was traced: somebody may have changed its memory, or that of one it shares it with. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPE_MAX_VOID);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct birth);
	__type(value, __u8);
} ipe_void SEC(".maps");

/* Bounds the memory for signed inodes, of which about 100 bytes each are taken as needed. */
#define IPE_MAX_SIGNED (1 << 20)

/*
 * Inodes in memory, by address, whose built-in fs-verity signature the kernel found
 * valid. The kernel says it once for each, so all builds of the engine share this
 * map. By address, since the verifier lets nobody look up the storage of an inode
 * that was reached through overlayfs; an entry goes before its inode's memory does.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPE_MAX_SIGNED);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u8);
} ipe_signed_inodes SEC(".maps");

/* More mapped devices than a machine has. One that finds no room has no facts. */
#define IPE_MAX_TABLES (1 << 16)

/* What is known of the tables that a mapped device has had. */
struct tables {
	/* the address of the only one; 0 if there was another one before it */
	__u64 only;
	/* It was there before anybody looked: what was before it is not known. */
	__u32 before;
	__u32 pad;
};

/* Mapped devices, by address. All builds share it: each sees what the others see. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPE_MAX_TABLES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tables);
} ipe_tables SEC(".maps");

/* Bounds the memory for files of the initramfs that are written; a file that finds no room is not opened for it. */
#define IPE_MAX_WRITTEN (1 << 20)

/* Inodes of the initramfs, by address, that somebody has opened for writing. All builds share it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPE_MAX_WRITTEN);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u8);
} ipe_written SEC(".maps");

#define IPE_MAX_ROOTS (1 << 16)

/*
 * Root hashes with a signature that user space has verified: keys with op and kind 0.
 * All builds share it, for a volume does not become another one by an upgrade.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPE_MAX_ROOTS);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct table_key);
	__type(value, __u8);
} ipe_signed_roots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, IPE_RING_BYTES);
} ipe_events SEC(".maps");

/* Why a record is missing. */
enum lost {
	LOST_ROOM, /* the ring buffer had no room */
	LOST_SHARE, /* its user had used up the share */
	LOST_OWN, /* as LOST_ROOM, of the reader's own */
	LOST_KINDS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOST_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} ipe_lost SEC(".maps");

/* What a user has used up of the share, as of then, and what was over it. */
struct share {
	__u64 since;
	__u64 over;
	__u32 used;
	__u32 pad;
};

/* Bounds the users that are remembered; of more, those that were quiet for longest begin anew. */
#define IPE_MAX_USERS 1024

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, IPE_MAX_USERS);
	__type(key, __u32);
	__type(value, struct share);
} ipe_shares SEC(".maps");

/* The process that reads ipe_events: for its own records some room is always kept. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} ipe_reader SEC(".maps");
