/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads of kernel memory at an address that BTF does not describe; 0 for a pointer that is gone. */
#pragma once

static __always_inline __u64 peek(__u64 base, __u32 offset)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

/* Of a pointer that the verifier knows: it lets none go where a number is wanted. */
static __always_inline __u64 number_of(const void *known)
{
	__u64 number = (__u64)known;

	return peek((__u64)&number, 0);
}

static __always_inline __u8 peek8(__u64 base, __u32 offset)
{
	__u8 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline __u32 peek32(__u64 base, __u32 offset)
{
	__u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(base + offset));
	return value;
}

/* Whether a member of at most eight bytes is 0 or NULL. That of a pointer that is gone is not. */
static __always_inline bool is_none(__u64 base, __u32 offset, __u32 size)
{
	__u64 value = 0;

	return !bpf_probe_read_kernel(&value, size, (void *)(base + offset)) && !value;
}

/*
 * A member: by a load, if the verifier knows what p is, or by a probe read, if p was
 * reached through a void pointer. typed is a constant wherever this is used.
 */
#define MEMBER(typed, p, member) ((typed) ? (p)->member : BPF_CORE_READ(p, member))
