// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Keep kernel.ftrace_enabled at 1: with 0 the kernel calls no program on an LSM hook,
 * though all stay attached. See internal/engine/bpf/ftrace.
 *
 * ipe_ftrace_on is attached to the root control group. The kernel calls it for each
 * write to a sysctl, not by way of ftrace, so it works while ftrace is off. It runs
 * last: programs of child groups, and those that were attached before it, run first.
 * ipe_ftrace_keep is on an LSM hook and refuses requests that would put a program
 * behind it or take it away.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1

/* include/uapi/linux/bpf.h: commands of bpf(2), and one type of attachment */
#define BPF_PROG_ATTACH 8
#define BPF_PROG_DETACH 9
#define BPF_LINK_CREATE 28
#define BPF_CGROUP_SYSCTL 18

/* What a program of that type returns. */
#define REFUSE 0
#define PASS 1

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/uapi/linux/bpf.h */
struct bpf_sysctl {
	__u32 write;
	__u32 file_pos;
};

/* What the three commands say of an attachment, as bpf(2) lays it out. */
union bpf_attr {
	struct {
		__u32 first_fd;
		__u32 second_fd;
		__u32 attach_type;
	};
};

static const char ftrace_enabled[] = "kernel/ftrace_enabled";

SEC("cgroup/sysctl")
int ipe_ftrace_on(__u64 *given) /* see kept.h */
{
	struct bpf_sysctl *ctx = (struct bpf_sysctl *)given;
	char name[sizeof(ftrace_enabled)] = {};
	char value[3] = {};
	long len;

	if (!ctx->write)
		return PASS;
	/* A longer name does not fit, which is an error. */
	if (bpf_sysctl_get_name(ctx, name, sizeof(name), 0) != sizeof(name) - 1)
		return PASS;
	if (__builtin_memcmp(name, ftrace_enabled, sizeof(name)))
		return PASS;
	/* The kernel reads numbers in many forms; only the plain one is let through. */
	len = bpf_sysctl_get_new_value(ctx, value, sizeof(value));
	if (value[0] != '1')
		return REFUSE;
	return len == 1 || (len == 2 && value[1] == '\n') ? PASS : REFUSE;
}

/*
 * No descriptor is looked up: another thread could exchange it before the kernel uses
 * it. The request is the kernel's own copy.
 */
SEC("lsm/bpf")
int BPF_PROG(ipe_ftrace_keep, int cmd, union bpf_attr *attr)
{
	if (cmd != BPF_PROG_ATTACH && cmd != BPF_PROG_DETACH && cmd != BPF_LINK_CREATE)
		return 0;
	return attr->attach_type == BPF_CGROUP_SYSCTL ? -EPERM : 0;
}
