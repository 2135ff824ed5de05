// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Ask the kernel whether it trusts a PKCS#7 message: the kernel side of
 * internal/linux/keyring. It is attached only while somebody asks, denies nothing, and
 * does nothing in a bpf(2) call that does not carry the asker's number.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define MAX_BYTES 65535

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct question {
	__u64 number; /* never 0 */
	__u32 keyring; /* as bpf_lookup_system_key() takes it */
	__u32 content_len;
	__u32 message_len;
	__u32 answered;
	__s32 answer; /* 0 or a negative errno */
	__u32 pad;
	__u8 content[MAX_BYTES + 1];
	__u8 message[MAX_BYTES + 1]; /* without content of its own */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct question);
} ipe_question SEC(".maps");

/* The loader compares kinds of types, so this must be a whole one; nobody looks inside. */
struct bpf_key {
	void *key;
};

extern struct bpf_key *bpf_lookup_system_key(__u64 id) __ksym;
extern void bpf_key_put(struct bpf_key *key) __ksym;
extern int bpf_verify_pkcs7_signature(struct bpf_dynptr *content, struct bpf_dynptr *message,
				      struct bpf_key *keyring) __ksym;

static __always_inline void answer(struct question *q, __u32 content_len, __u32 message_len)
{
	struct bpf_dynptr content, message;
	struct bpf_key *keyring = bpf_lookup_system_key(q->keyring);

	if (!keyring)
		return;
	bpf_dynptr_from_mem(q->content, content_len, 0, &content);
	bpf_dynptr_from_mem(q->message, message_len, 0, &message);
	q->answer = bpf_verify_pkcs7_signature(&content, &message, keyring);
	q->answered = 1;
	bpf_key_put(keyring);
}

/* What BPF_PROG_GET_NEXT_ID is given; the kernel looks at the first half. */
union bpf_attr {
	struct {
		volatile __u32 first, second;
	};
};

/*
 * Whether a call bears the number. It is read through the argument's own type, for a
 * kernel may refuse the helper that reads memory (lockdown=confidentiality).
 */
static __always_inline bool bears(union bpf_attr *attr, struct question *q)
{
	const __u32 *number = (const __u32 *)&q->number;

	return attr->first == number[0] && attr->second == number[1];
}

SEC("lsm.s/bpf")
int BPF_PROG(ipe_verify, int cmd, union bpf_attr *attr)
{
	__u32 zero = 0, content_len, message_len;
	struct question *q;

	q = bpf_map_lookup_elem(&ipe_question, &zero);
	if (!q || !q->number || q->answered)
		return 0;
	if (!bears(attr, q))
		return 0;
	content_len = q->content_len;
	message_len = q->message_len;
	if (content_len <= MAX_BYTES && message_len <= MAX_BYTES)
		answer(q, content_len, message_len);
	return 0;
}
