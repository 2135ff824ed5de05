/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Executables that a profile excepts: see internal/profile. Who executes one is marked, by
 * what is verified of it. The mark goes to what it forks, and goes with the next execution.
 * It is void once somebody without the same exceptions has traced one of them.
 */
#pragma once

/* Directories above a file, at most: a path has room for no more. */
#define PATH_NAMES (IPE_PATH_ROOM / 2)

/* Room to put an identity together, more than there is on the stack. A name that is written at its very end goes over it. */
struct identity_room {
	struct identity id;
	char over[IPE_PATH_ROOM];
	struct mark mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct identity_room);
} ipe_identity_room SEC(".maps");

static __always_inline struct mark *mark_of(struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	return leader ? bpf_task_storage_get(&ipe_marks, leader, NULL, 0) : NULL;
}

static __always_inline __u64 this_epoch(void)
{
	__u32 zero = 0;
	__u64 *epoch = bpf_map_lookup_elem(&ipe_epoch, &zero);

	return epoch ? *epoch : 0;
}

/* The mark of a process, if it is good. */
static __always_inline struct mark *good_mark(struct task_struct *task)
{
	struct mark *m = mark_of(task);

	if (!m || m->execution != task->group_leader->self_exec_id || m->epoch != this_epoch())
		return NULL;
	return bpf_map_lookup_elem(&ipe_void, &m->birth) ? NULL : m;
}

static __always_inline struct exception *exception_of(struct mark *m, __u32 by)
{
	return m->ids[by] ? bpf_map_lookup_elem(&ipe_exceptions, &m->ids[by]) : NULL;
}

static __always_inline bool has_exceptions(void)
{
	struct profile *p = this_profile();

	return p && p->excepted;
}

/* How a rule is switched for the current process, where it is switched on for all. */
static __always_inline __u32 switch_for_current(__u32 rule, __u32 is)
{
	struct mark *m = has_exceptions() ? good_mark(bpf_get_current_task_btf()) : NULL;
	struct exception *e;
	__u32 by;

	if (!m || rule >= IPE_NUM_RULES)
		return is;
	for (by = 0; by < IPE_NUM_BY; by++) {
		e = exception_of(m, by);
		if (e && e->rules[rule] && e->rules[rule] - 1U < is)
			is = e->rules[rule] - 1U;
	}
	return is;
}

/* Whether the current process may have executable memory that no file is behind. */
static __always_inline bool may_have_memory(void)
{
	struct mark *m = has_exceptions() ? good_mark(bpf_get_current_task_btf()) : NULL;
	struct exception *e;
	__u32 by;

	if (!m)
		return false;
	for (by = 0; by < IPE_NUM_BY; by++) {
		e = exception_of(m, by);
		if (e && e->anon_exec)
			return true;
	}
	return false;
}

struct path_above {
	__u64 dentry;
	__u64 root;
	__u32 at; /* the path so far begins there */
	__u32 whole;
	struct identity_room *room;
};

/* Put one more name before the path; 1 ends it. */
static long prepend_name(__u32 i, struct path_above *p)
{
	struct dentry *dentry = (struct dentry *)p->dentry;
	__u64 parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	__u32 len = BPF_CORE_READ(dentry, d_name.hash_len) >> 32, at = p->at;

	if (p->dentry == p->root) {
		p->whole = 1;
		return 1;
	}
	if (!len || len >= at || parent == p->dentry)
		return 1;
	at -= len;
	bpf_probe_read_kernel(&p->room->id.path[at & (IPE_PATH_ROOM - 1)], len & (IPE_PATH_ROOM - 1),
			      BPF_CORE_READ(dentry, d_name.name));
	at--;
	p->room->id.path[at & (IPE_PATH_ROOM - 1)] = '/';
	p->at = at;
	p->dentry = parent;
	return 0;
}

/* The path of a file from the root of its file system. Names on a verified volume do not change. */
static __always_inline bool write_path_inside(struct identity_room *room, struct file *file)
{
	struct path_above p = { .at = IPE_PATH_ROOM, .room = room };

	p.dentry = number_of(file->f_path.dentry);
	p.root = number_of(file->f_inode->i_sb->s_root);

	bpf_loop(PATH_NAMES, prepend_name, &p, 0);
	return p.whole;
}

static __always_inline void set_identity(struct table_key *to, const struct table_key *from)
{
	*to = *from;
	to->op = 0;
	to->kind = 0;
	to->root_id = 0;
}

static __always_inline void look_up_identity(struct identity_room *room, __u32 by, __u32 kinds)
{
	__u64 *id = kinds & 1 << by ? bpf_map_lookup_elem(&ipe_identities, &room->id) : NULL;

	if (id)
		room->mark.ids[by] = *id;
}

/* The room is all 0. */
static __always_inline void identify(struct identity_room *room, __u32 kinds, const struct facts *f, struct file *file)
{
	if (kinds & (1 << IPE_BY_FILE | 1 << IPE_BY_ROOT_FILE))
		set_identity(&room->id.file, &f->file);
	look_up_identity(room, IPE_BY_FILE, kinds);
	if (!(kinds & (1 << IPE_BY_ROOT_FILE | 1 << IPE_BY_PATH)))
		return;
	set_identity(&room->id.root, &f->root);
	look_up_identity(room, IPE_BY_ROOT_FILE, kinds);
	if (!(kinds & 1 << IPE_BY_PATH) || !write_path_inside(room, file))
		return;
	__builtin_memset(&room->id.file, 0, sizeof(room->id.file));
	look_up_identity(room, IPE_BY_PATH, kinds);
}

/* Whether some executable with this name is excepted by its path. */
static __always_inline bool is_named(struct dentry *dentry)
{
	struct name_end key = { .len = BPF_CORE_READ(dentry, d_name.hash_len) >> 32 };
	const unsigned char *name = dentry->d_name.name;
	__u32 n = key.len;

	if (n > IPE_NAME_END) {
		name += n - IPE_NAME_END;
		n = IPE_NAME_END;
	}
	bpf_probe_read_kernel(key.end, n, name);
	return bpf_map_lookup_elem(&ipe_names, &key);
}

/*
 * The kinds of identities by which an executable may be excepted, as far as that can be
 * told without a look at its volume. The path of an overlay is not that of the volume below.
 */
static __always_inline __u32 likely_kinds(__u32 kinds, struct file *file)
{
	if (file->f_inode->i_sb->s_magic == OVERLAYFS_SUPER_MAGIC)
		return kinds & ~(1 << IPE_BY_PATH);
	if (!(file->f_inode->i_flags & S_VERITY))
		kinds &= 1 << IPE_BY_PATH;
	if (kinds & 1 << IPE_BY_PATH && !is_named(file->f_path.dentry))
		kinds &= ~(1 << IPE_BY_PATH);
	return kinds;
}

/* Of these kinds, those that its facts do not rule out. */
static __always_inline __u32 possible_kinds(__u32 kinds, const struct facts *f)
{
	__u32 by_file = 1 << IPE_BY_FILE | 1 << IPE_BY_ROOT_FILE;

	if (kinds & by_file && !(f->present & IPE_NEED_FILE && bpf_map_lookup_elem(&ipe_digests, &f->file)))
		kinds &= ~by_file;
	if (!(f->present & IPE_NEED_ROOT))
		kinds &= 1 << IPE_BY_FILE;
	return kinds;
}

/* What those kinds of identities are made of: the others cost, and say nothing. */
static __always_inline __u32 facts_for(__u32 kinds)
{
	__u32 facts = 0;

	if (kinds & (1 << IPE_BY_FILE | 1 << IPE_BY_ROOT_FILE))
		facts |= IPE_NEED_FILE;
	if (kinds & (1 << IPE_BY_PATH | 1 << IPE_BY_ROOT_FILE))
		facts |= IPE_NEED_ROOT;
	return facts;
}

static __always_inline void mark_current(struct task_struct *task, struct mark *m)
{
	if (!(m->ids[IPE_BY_FILE] || m->ids[IPE_BY_ROOT_FILE] || m->ids[IPE_BY_PATH]))
		return;
	m->birth.ns = bpf_ktime_get_boot_ns();
	m->birth.pid = bpf_get_current_pid_tgid();
	m->execution = task->self_exec_id;
	m->epoch = this_epoch();
	bpf_task_storage_get(&ipe_marks, task, m, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/*
 * Mark who executes what is excepted. That takes an allocation, and a long key; so what
 * other executables lack is asked for first.
 */
static __always_inline void mark_executing(struct task_struct *task, __u32 kinds, struct file *executed)
{
	struct file *file = plain_file(executed);
	struct facts f = {};
	struct identity_room *room;

	kinds = likely_kinds(kinds, file);
	if (!kinds)
		return;
	gather(&f, facts_for(kinds), file, file->f_inode);
	kinds = possible_kinds(kinds, &f);
	if (!kinds)
		return;
	room = bpf_task_storage_get(&ipe_identity_room, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!room)
		return;
	identify(room, kinds, &f, file);
	mark_current(task, &room->mark);
	bpf_task_storage_delete(&ipe_identity_room, task);
}

/* Nothing is verified of this task but what it executes now, and no tracer came in before. */
SEC("lsm/bprm_committed_creds")
int BPF_PROG(ipe_committed, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct profile *p = this_profile();
	struct file *file = bprm->file;

	bpf_task_storage_delete(&ipe_marks, task);
	if (p && p->excepted && !task->ptrace && file)
		mark_executing(task, p->excepted, file);
	return 0;
}

/* A new process; a thread, and a worker of io_uring, has the leader's mark. */
SEC("lsm/task_alloc")
int BPF_PROG(ipe_task_alloc, struct task_struct *task, unsigned long clone_flags)
{
	struct mark *m;

	if (clone_flags & CLONE_THREAD)
		return 0;
	m = mark_of(bpf_get_current_task_btf());
	if (!m)
		return 0;
	return bpf_task_storage_get(&ipe_marks, task, m, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

static __always_inline bool same_birth(const struct mark *a, const struct mark *b)
{
	return a->birth.ns == b->birth.ns && a->birth.pid == b->birth.pid;
}

/*
 * Before one process traces another, which may write what the other executes: -ENOSPC if
 * that cannot be kept in mind. All that came of the same execution loses its exceptions,
 * for some of it may share the memory. To a tracer that came of it, too, as a debugger of
 * what it has forked, that is nothing new: the one that is traced alone loses them.
 */
static __always_inline int void_mark(struct task_struct *tracer, struct task_struct *traced)
{
	struct mark *m = good_mark(traced), *theirs = good_mark(tracer);
	__u8 one = 1;

	if (!m)
		return 0;
	if (theirs && same_birth(theirs, m)) {
		m->epoch = 0;
		return 0;
	}
	return bpf_map_update_elem(&ipe_void, &m->birth, &one, BPF_ANY) ? -ENOSPC : 0;
}
