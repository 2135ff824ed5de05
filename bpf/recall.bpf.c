// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Verify anew the built-in fs-verity signature of a file that was in memory before
 * anybody listened: see internal/engine/bpf/recall.go. Attached only while that is
 * done, denies nothing, and does nothing in a bpf(2) call that does not carry the
 * asker's number. The kernel verifies; this program gives it the digest that the
 * kernel itself has of the open file, so nobody's word is taken for anything but
 * the signature, which proves itself.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "layout.gen.h"
#include "maps.h"
#include "peek.h"
#include "kept.h"
#include "fsverity.h"
#include "overlay.h"
#include "filesystem.h"
#include "btrfs.h"
#include "whole.h"
#include "honest.h"
#include "evidence.h"
#include "inuse.h"

/* FS_VERITY_MAX_SIGNATURE_SIZE is 16128 */
#define MAX_SIGNATURE 16384

#define TEXT_HEAD 12

#define EOPNOTSUPP 95

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct signed_text {
	__u8 magic[8];
	__u16 alg; /* little endian */
	__u16 size;
	__u8 sum[IPE_SUM_SIZE];
};

struct recall {
	__u64 number; /* never 0 */
	__u32 fd; /* of the asker */
	__s32 keyring;
	__u32 signature_len;
	__u32 answered;
	__s32 answer; /* 0 or a negative errno */
	__u32 pad;
	struct signed_text text;
	__u8 signature[MAX_SIGNATURE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct recall);
} ipe_recall_file SEC(".maps");

/* The loader compares kinds of types, so this must be a whole one; nobody looks inside. */
struct bpf_key {
	void *key;
};

extern struct bpf_key *bpf_lookup_user_key(__s32 serial, __u64 flags) __ksym;
extern void bpf_key_put(struct bpf_key *key) __ksym;
extern int bpf_verify_pkcs7_signature(struct bpf_dynptr *content, struct bpf_dynptr *message,
				      struct bpf_key *keyring) __ksym;

/* The inode of an open file of the current process. */
static __always_inline __u64 inode_of(__u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	__u64 file;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	file = peek((__u64)BPF_CORE_READ(table, fd), fd * sizeof(void *));
	return (__u64)BPF_CORE_READ((struct file *)file, f_inode);
}

static __always_inline __u16 little_endian(__u16 x)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? x : __builtin_bswap16(x);
}

/* What a built-in signature signs; false if the file has no digest of a kind that can be. */
static __always_inline bool write_text(struct signed_text *text, const struct table_key *key)
{
	__builtin_memcpy(text->magic, "FSVerity", sizeof(text->magic));
	if (key->len == 32 && !__builtin_memcmp(key->alg, "sha256", sizeof("sha256")))
		text->alg = little_endian(1);
	else if (key->len == 64 && !__builtin_memcmp(key->alg, "sha512", sizeof("sha512")))
		text->alg = little_endian(2);
	else
		return false;
	text->size = little_endian(key->len);
	__builtin_memcpy(text->sum, key->sum, sizeof(text->sum));
	return true;
}

/* Lengths that the verifier of 6.1 can follow: a constant, and one that is masked. */
static __always_inline int verify(struct recall *r, const __u32 text_len, __u32 signature_len)
{
	struct bpf_dynptr text, signature;
	struct bpf_key *keyring = bpf_lookup_user_key(r->keyring, 0);
	int err;

	if (!keyring)
		return -EACCES;
	bpf_dynptr_from_mem(&r->text, text_len, 0, &text);
	bpf_dynptr_from_mem(r->signature, signature_len & (MAX_SIGNATURE - 1), 0, &signature);
	err = bpf_verify_pkcs7_signature(&text, &signature, keyring);
	bpf_key_put(keyring);
	return err;
}

static __always_inline int recall(struct recall *r)
{
	__u32 signature_len = r->signature_len;
	__u64 inode = inode_of(r->fd);
	struct facts f = {};
	__u8 is_signed = 1;
	int err;

	read_untyped_inode(&f, IPE_NEED_FILE, inode, KEEP);
	if (!(f.present & IPE_NEED_FILE) || !write_text(&r->text, &f.file))
		return -EOPNOTSUPP;
	if (f.file.len == 32)
		err = verify(r, TEXT_HEAD + 32, signature_len);
	else
		err = verify(r, TEXT_HEAD + 64, signature_len);
	if (err)
		return err;
	return bpf_map_update_elem(&ipe_signed_inodes, &inode, &is_signed, BPF_ANY);
}

SEC("lsm.s/bpf")
int BPF_PROG(ipe_recall, int cmd, void *attr)
{
	__u32 zero = 0;
	struct recall *r = bpf_map_lookup_elem(&ipe_recall_file, &zero);
	__u64 number = 0;

	if (!r || !r->number || r->answered)
		return 0;
	/* The first eight bytes of what BPF_PROG_GET_NEXT_ID is given; the kernel looks at four. */
	bpf_probe_read_kernel(&number, sizeof(number), attr);
	if (number != r->number)
		return 0;
	r->answer = recall(r);
	r->answered = 1;
	return 0;
}
