/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a file as d_path() gives it to the kernel's own records: as the current
 * task's root sees it. d_path itself may not be called in all hooks, so the dentries
 * and mounts are walked by probe reads. User space adds what needs no walk: see
 * spellPath in internal/engine/bpf.
 *
 * The kernel walks under two sequence locks that a program cannot read. Here a path is
 * walked twice, first to measure and then to write, and counts if both walks met the
 * same mounts and the same names. Each dentry has a sequence number of its own, which
 * a rename counts up: it tells whether a name changed while it was copied, even if it is
 * the old one again by now.
 */
#pragma once

/* The buffer of the kernel's records, PATH_MAX + 11, with the final NUL. */
#define PATH_ROOM 4107
/* More than any path has: a component takes two bytes, and a namespace has 100,000 mounts. */
#define PATH_STEPS (1 << 17)
#define PATH_TRIES 4
#define DELETED_SIZE 10
/* Names are copied in pieces that fit onto what is left of the stack. */
#define PIECE_SIZE 16
/* The longest name that is no dentry's. */
#define SPELLED_SIZE 32

/* How user space spells the name that stands behind a record. */
enum path_kind {
	PATH_WALKED,
	PATH_DELETED,
	/* What has no place in a tree of files; its file system spells it. */
	PATH_MEMORY,
	PATH_ANON_INODE,
	PATH_PIPE,
	PATH_SOCKET,
	PATH_NAMESPACE,
	PATH_PROCESS,
	PATH_DMA_BUFFER,
	/* Not known. */
	PATH_TOO_LONG,
	PATH_UNSTABLE,
};

struct path_walk {
	__u64 dentry;
	__u64 mnt;
	__u64 root_dentry;
	__u64 root_mnt;
	__u64 sum; /* of all that the first walk met, and of what the second met, taken off */
	__u64 named; /* the dentry whose name this is */
	__u64 from; /* what is still to be copied, and where to */
	__u32 to;
	__u32 len;
	__u32 room; /* bytes for names */
	__u32 left; /* those that no name has taken yet */
	__u32 sequence; /* of the dentry that is named */
	__u8 kind;
	__u8 spelled; /* what stands at from has a length of its own */
	__u8 torn; /* a name changed while it was read */
	__u8 unused;
};

struct path_writer {
	struct bpf_dynptr record;
	struct path_walk walk;
};

static __always_inline __u64 mount_of(struct vfsmount *mnt)
{
	return (__u64)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* A dentry with the hash of its name and its sequence number; both are 0 for a mount point. */
static __always_inline void note_met(struct path_walk *w, __u64 dentry, __u64 hash_len, __u64 sequence)
{
	__u64 mixed = (dentry ^ sequence << 48) * 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ mixed >> 32 ^ hash_len) * 0x9e3779b97f4a7c15ULL;
	w->sum += mixed ^ mixed >> 29;
}

/* From the root of a mount to where it is mounted; false if it is mounted nowhere. */
static __always_inline bool cross_mount(struct path_walk *w)
{
	struct mount *mnt = (struct mount *)w->mnt;
	struct mount *parent = BPF_CORE_READ(mnt, mnt_parent);

	if (parent == mnt)
		return false;
	w->dentry = (__u64)BPF_CORE_READ(mnt, mnt_mountpoint);
	w->mnt = (__u64)parent;
	note_met(w, w->dentry, 0, 0);
	return true;
}

static __always_inline __u32 sequence_of(__u64 dentry)
{
	return BPF_CORE_READ((struct dentry *)dentry, d_seq.seqcount.sequence);
}

/* After a name was copied: whether it was whole all the time. */
VERIFIED_ONCE int end_name(struct path_walk *w, KEPT)
{
	if (w && w->named && sequence_of(w->named) != w->sequence)
		w->torn = true;
	return 0;
}

/*
 * One step towards the root; 1 ends the walk. If a name is met, w->len is its length and
 * w->from where it stands.
 */
VERIFIED_ONCE int step(struct path_walk *w, KEPT)
{
	struct dentry *dentry;
	struct mount *mnt;
	__u64 parent, hash_len;

	if (!w)
		return 1;
	dentry = (struct dentry *)w->dentry;
	mnt = (struct mount *)w->mnt;
	w->len = 0;
	w->named = 0;
	if (w->dentry == w->root_dentry && w->mnt == w->root_mnt)
		return 1;
	if (dentry == BPF_CORE_READ(mnt, mnt.mnt_root))
		return !cross_mount(w);
	w->sequence = sequence_of(w->dentry);
	parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	if (parent == w->dentry) { /* outside of what is mounted: the kernel says "/" */
		w->left = w->room;
		return 1;
	}
	w->named = w->dentry;
	hash_len = BPF_CORE_READ(dentry, d_name.hash_len);
	if (hash_len >> 32 >= w->left) {
		w->kind = PATH_TOO_LONG;
		return 1;
	}
	w->len = hash_len >> 32;
	w->left -= w->len + 1;
	w->from = (__u64)BPF_CORE_READ(dentry, d_name.name);
	note_met(w, w->dentry, hash_len, w->sequence);
	w->dentry = parent;
	return 0;
}

static long measure_step(__u32 i, struct path_walk *w)
{
	return step(w, KEEP) ? 1 : 0;
}

static __always_inline void write_piece(struct path_writer *w)
{
	char bytes[PIECE_SIZE];
	__u32 len = w->walk.len;

	if (len > sizeof(bytes))
		len = sizeof(bytes);
	bpf_probe_read_kernel(bytes, len, (void *)w->walk.from);
	bpf_dynptr_write(&w->record, w->walk.to, bytes, len, 0);
	w->walk.from += len;
	w->walk.to += len;
	w->walk.len -= len;
}

/* Copy a piece of a name; if there is none, step and put a slash before the next name. */
static long write_step(__u32 i, struct path_writer *w)
{
	char slash = '/';

	if (w->walk.len) {
		write_piece(w);
		return 0;
	}
	end_name(&w->walk, KEEP);
	if (step(&w->walk, KEEP))
		return 1;
	if (!w->walk.len)
		return 0; /* crossed a mount */
	w->walk.to = sizeof(struct event) + w->walk.left;
	bpf_dynptr_write(&w->record, w->walk.to, &slash, sizeof(slash), 0);
	w->walk.to++;
	return 0;
}

static __always_inline void start_walk(struct path_walk *w, struct file *file, __u32 room)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);

	w->dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
	w->mnt = mount_of(mnt);
	w->root_dentry = (__u64)BPF_CORE_READ(task, fs, root.dentry);
	w->root_mnt = mount_of(BPF_CORE_READ(task, fs, root.mnt));
	w->room = room;
	w->left = room;
}

#define TYPE_IS(type, name) (!__builtin_memcmp(type, name, sizeof(name)))

/* Who spells the name of what has no place in a tree of files. */
static __always_inline __u32 kind_of_nameless(struct dentry *dentry)
{
	char type[16] = {};

	bpf_probe_read_kernel_str(type, sizeof(type), BPF_CORE_READ(dentry, d_sb, s_type, name));
	if (TYPE_IS(type, "anon_inodefs"))
		return PATH_ANON_INODE;
	if (TYPE_IS(type, "pipefs"))
		return PATH_PIPE;
	if (TYPE_IS(type, "sockfs"))
		return PATH_SOCKET;
	if (TYPE_IS(type, "nsfs"))
		return PATH_NAMESPACE;
	if (TYPE_IS(type, "pidfs"))
		return PATH_PROCESS;
	if (TYPE_IS(type, "dmabuf"))
		return PATH_DMA_BUFFER;
	return PATH_MEMORY;
}

VERIFIED_ONCE __u32 kind_of_path(__u64 addr, KEPT)
{
	struct file *file = (struct file *)addr;
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	bool is_root = BPF_CORE_READ(dentry, d_parent) == dentry;
	const struct dentry_operations *ops = BPF_CORE_READ(dentry, d_op);

	if (ops && BPF_CORE_READ(ops, d_dname) && !(is_root && dentry == BPF_CORE_READ(file, f_path.mnt, mnt_root)))
		return kind_of_nameless(dentry);
	if (!is_root && !BPF_CORE_READ(dentry, d_hash.pprev))
		return PATH_DELETED;
	return PATH_WALKED;
}

/* 6.9 and later keep the namespace in the inode, those before its kind in the dentry. */
static __always_inline __u64 namespace_name(struct file *file)
{
	struct proc_ns_operations *ops;
	struct ns_common *ns;

	if (!bpf_core_type_exists(struct stashed_operations)) {
		ops = BPF_CORE_READ(file, f_path.dentry, d_fsdata);
		return (__u64)BPF_CORE_READ(ops, name);
	}
	if (!bpf_core_field_exists(struct ns_common, ops))
		return 0;
	ns = BPF_CORE_READ(file, f_inode, i_private);
	return (__u64)BPF_CORE_READ(ns, ops, name);
}

static __always_inline __u64 buffer_name(struct file *file)
{
	struct dma_buf *buffer;

	if (!bpf_core_type_exists(struct dma_buf))
		return 0;
	buffer = BPF_CORE_READ(file, f_path.dentry, d_fsdata);
	return (__u64)BPF_CORE_READ(buffer, name);
}

/* Without a tree of files there is nothing to walk: the root is reached at once. */
static __always_inline void end_walk(struct path_walk *w)
{
	w->dentry = w->root_dentry;
	w->mnt = w->root_mnt;
}

/* Find out of which kind the path is; what can be walked is measured then, by steps. */
VERIFIED_ONCE int start_measuring(struct path_walk *w, __u64 addr, KEPT)
{
	struct file *file = (struct file *)addr;

	if (!w || !file)
		return 0;
	w->kind = kind_of_path(addr, KEEP);
	switch (w->kind) {
	case PATH_WALKED:
	case PATH_DELETED:
		w->sum = 0;
		start_walk(w, file, PATH_ROOM - 1 - (w->kind == PATH_DELETED ? DELETED_SIZE : 0));
		return 0;
	case PATH_MEMORY:
	case PATH_ANON_INODE:
		w->room = BPF_CORE_READ(file, f_path.dentry, d_name.hash_len) >> 32;
		break;
	case PATH_NAMESPACE:
	case PATH_DMA_BUFFER:
		w->room = SPELLED_SIZE;
	}
	end_walk(w);
	return 0;
}

/* After the walk that measured: the bytes that the path takes behind the record. */
VERIFIED_ONCE int end_measuring(struct path_walk *w, KEPT)
{
	if (!w)
		return 0;
	w->room = w->kind == PATH_TOO_LONG ? 0 : w->room - w->left;
	w->sum = -w->sum;
	w->left = 0;
	w->len = 0;
	w->named = 0;
	w->torn = false;
	return w->room;
}

/* Prepare to write what was measured. */
VERIFIED_ONCE int start_writing(struct path_walk *w, __u64 addr, KEPT)
{
	struct file *file = (struct file *)addr;

	if (!w || !file)
		return 0;
	end_walk(w);
	if (!w->room) { /* the root, too long, or outside of what is mounted */
		w->sum = 0;
		return 0;
	}
	switch (w->kind) {
	case PATH_WALKED:
	case PATH_DELETED:
		start_walk(w, file, w->room);
		break;
	case PATH_MEMORY:
	case PATH_ANON_INODE:
		w->from = (__u64)BPF_CORE_READ(file, f_path.dentry, d_name.name);
		w->to = sizeof(struct event);
		w->len = w->room;
		break;
	case PATH_NAMESPACE:
		w->from = namespace_name(file);
		w->spelled = true;
		break;
	case PATH_DMA_BUFFER:
		w->from = buffer_name(file);
		w->spelled = true;
	}
	return 0;
}

static __noinline void write_spelled(struct path_writer *w, __u64 name)
{
	char bytes[SPELLED_SIZE] = {};

	if (!w)
		return;
	bpf_probe_read_kernel_str(bytes, sizeof(bytes), (void *)name);
	bpf_dynptr_write(&w->record, sizeof(struct event), bytes, sizeof(bytes), 0);
}

/* Whether both walks met the same. */
VERIFIED_ONCE int same_path(const struct path_walk *w, KEPT)
{
	return w && !w->sum && !w->left && !w->torn;
}

static __always_inline __u32 measure_path(struct path_walk *w, __u64 file)
{
	start_measuring(w, file, KEEP);
	bpf_loop(PATH_STEPS, measure_step, w, 0);
	return end_measuring(w, KEEP);
}

/* Write the path that was measured behind the record; false if it is another by now. */
static __always_inline bool write_path(struct path_writer *w, __u64 file)
{
	start_writing(&w->walk, file, KEEP);
	if (w->walk.spelled)
		write_spelled(w, w->walk.from);
	bpf_loop(PATH_STEPS, write_step, w, 0);
	return same_path(&w->walk, KEEP);
}
