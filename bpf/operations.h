/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which operation the kernel's own ids of reads and loads stand for. The numbers of
 * the ids differ between kernels, so each is relocated. Not static: to its caller the
 * result is any number, so that the verifier does not follow each operation by itself.
 */
#pragma once

#define ID_IS(id, type, name)                                                                                         \
	(bpf_core_enum_value_exists(enum type, name) && (id) == bpf_core_enum_value(enum type, name))

VERIFIED_ONCE int operation_of_read(__u32 id, KEPT)
{
	if (ID_IS(id, kernel_read_file_id, READING_FIRMWARE))
		return IPE_OP_FIRMWARE;
	if (ID_IS(id, kernel_read_file_id, READING_MODULE))
		return IPE_OP_KMODULE;
	if (ID_IS(id, kernel_read_file_id, READING_MODULE_COMPRESSED))
		return IPE_OP_KMODULE;
	if (ID_IS(id, kernel_read_file_id, READING_KEXEC_IMAGE))
		return IPE_OP_KEXEC_IMAGE;
	if (ID_IS(id, kernel_read_file_id, READING_KEXEC_INITRAMFS))
		return IPE_OP_KEXEC_INITRAMFS;
	if (ID_IS(id, kernel_read_file_id, READING_POLICY))
		return IPE_OP_POLICY;
	if (ID_IS(id, kernel_read_file_id, READING_X509_CERTIFICATE))
		return IPE_OP_X509_CERT;
	return IPE_OP_UNKNOWN;
}

VERIFIED_ONCE int operation_of_load(__u32 id, KEPT)
{
	if (ID_IS(id, kernel_load_data_id, LOADING_FIRMWARE))
		return IPE_OP_FIRMWARE;
	if (ID_IS(id, kernel_load_data_id, LOADING_MODULE))
		return IPE_OP_KMODULE;
	if (ID_IS(id, kernel_load_data_id, LOADING_KEXEC_IMAGE))
		return IPE_OP_KEXEC_IMAGE;
	if (ID_IS(id, kernel_load_data_id, LOADING_KEXEC_INITRAMFS))
		return IPE_OP_KEXEC_INITRAMFS;
	if (ID_IS(id, kernel_load_data_id, LOADING_POLICY))
		return IPE_OP_POLICY;
	if (ID_IS(id, kernel_load_data_id, LOADING_X509_CERTIFICATE))
		return IPE_OP_X509_CERT;
	return IPE_OP_UNKNOWN;
}
