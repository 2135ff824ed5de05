/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A function that is not static is verified once, not anew for each way that leads to it,
 * or the verifier would not come to an end. But an extension program ("freplace") may take
 * the place of one, and say that nothing is denied. It must have the same arguments, and
 * the kernel lets none have a pointer to a number (btf_check_func_type_match() in
 * kernel/bpf/btf.c). So each such function has one, which is nothing. It is weak, or the
 * compiler would leave out what is not used. Nor has a program the argument that the
 * kernel knows it by: that one could be replaced, too.
 */
#pragma once

#define VERIFIED_ONCE __weak __noinline
#define KEPT const __u32 *kept
#define KEEP ((const __u32 *)0)
