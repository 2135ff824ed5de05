// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A kernel module for test guests. Loading it has the kernel read a file, or take
 * data, under any of its ids, and always fails: with what came of it, or with
 * ECANCELED for success. It is made without a kernel's headers; what it has to
 * know of the running kernel is put in by guest_ask_test.go.
 */
#define ECANCELED 125
#define READ_MOST (1UL << 20)

typedef long ssize_t;
typedef unsigned long size_t;

extern ssize_t kernel_read_file_from_path(const char *path, long long offset, void **buf, size_t buf_size, size_t *file_size,
					  int id);
extern int security_kernel_load_data(int id, _Bool contents);
extern void vfree(const void *addr);

volatile struct {
	int id;
	int load;
	char path[248];
} ask_what = { .id = -1 };

static int ask(void)
{
	void *data = (void *)0;
	size_t size = 0;
	ssize_t n;

	if (ask_what.load)
		return security_kernel_load_data(ask_what.id, 0);
	n = kernel_read_file_from_path((const char *)ask_what.path, 0, &data, READ_MOST, &size, ask_what.id);
	if (n < 0)
		return n;
	vfree(data);
	return 0;
}

int ask_init(void)
{
	int err = ask();

	return err ? err : -ECANCELED;
}

/* Larger than any kernel's struct module; its size and the place of the pointer are mended. */
__attribute__((section(".gnu.linkonce.this_module"), used)) void *ask_module[512] = { ask_init };

__attribute__((section(".modinfo"), used)) static const char facts[] = "license=GPL\0retpoline=Y";
