/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/faulty_internal.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What tests do to a disk past its io: no call, no step, no fault. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

uint32_t faulty_files(const struct faulty *faulty, char (**ret_names)[IO_NAME_MAX + 1])
{
	const struct faulty_names *now = &faulty->disk.now;
	char(*names)[IO_NAME_MAX + 1] = calloc(now->count + UINT64_C(1), sizeof(*names));

	CHECK(names);
	for (uint32_t i = 0; i < now->count; i++)
		memcpy(names[i], now->list[i].name, sizeof(*names));
	qsort(names, now->count, sizeof(*names), compare_names);
	*ret_names = names;
	return now->count;
}

uint8_t *faulty_file_bytes(const struct faulty *faulty, const char *name, size_t *ret_size)
{
	const struct faulty_inode *inode = faulty_disk_find(&faulty->disk, name);
	uint8_t *bytes;

	if (!inode)
		return NULL;
	bytes = malloc(inode->now.size + 1);
	CHECK(bytes);
	faulty_image_read(&inode->now, 0, bytes, inode->now.size);
	*ret_size = inode->now.size;
	return bytes;
}

void faulty_file_set(struct faulty *faulty, const char *name, const void *bytes, size_t size)
{
	struct faulty_inode *inode = faulty_disk_find(&faulty->disk, name);
	uint64_t capacity = faulty->disk.capacity;

	if (!inode)
		inode = faulty_disk_place(&faulty->disk, name);
	faulty->disk.capacity = 0;
	faulty_disk_truncate(inode, 0);
	CHECK(faulty_disk_write(&faulty->disk, inode, 0, bytes, size, &faulty->rand) == 0);
	faulty_disk_sync(inode);
	faulty->disk.capacity = capacity;
}

static void flip(struct faulty_image *image, uint64_t bit)
{
	uint64_t size = image->size;
	uint8_t byte;

	faulty_image_read(image, bit / 8, &byte, 1);
	byte ^= (uint8_t)(1U << bit % 8);
	faulty_image_write(image, bit / 8, &byte, 1);
	image->size = size;
}

void faulty_flip(struct faulty *faulty, const char *name, uint64_t bit)
{
	struct faulty_inode *inode = faulty_disk_find(&faulty->disk, name);
	uint64_t page = bit / 8 / FAULTY_PAGE;
	bool synced;

	CHECK(inode && bit / 8 < inode->now.size);
	synced = faulty_image_same(&inode->now, &inode->disk, page);
	flip(&inode->now, bit);
	if (synced)
		faulty_image_share(&inode->disk, &inode->now, page);
	else
		flip(&inode->disk, bit);
}

static int save_file(const struct faulty *faulty, struct io *to, const char *name)
{
	size_t size = 0;
	uint8_t *bytes = faulty_file_bytes(faulty, name, &size);
	struct io_file *file;
	int error = io_open(to, name, IO_CREATE, &file);

	if (!error) {
		error = io_truncate(file, 0);
		if (!error)
			error = io_write(file, 0, bytes, size);
		io_close(file);
	}
	free(bytes);
	return error;
}

int faulty_save(const struct faulty *faulty, const char *folder)
{
	char(*names)[IO_NAME_MAX + 1];
	struct io *io;
	uint32_t count;
	int error = io_plain_new(folder, /* create= */ false, &io);

	if (error)
		return error > 0 ? -ENOENT : error;
	count = faulty_files(faulty, &names);
	for (uint32_t i = 0; i < count && !error; i++)
		error = save_file(faulty, io, names[i]);
	free(names);
	io_free(io);
	return error;
}

struct loading {
	struct faulty *faulty;
	struct io *from;
};

static int load_file(void *context, const char *name)
{
	struct loading *loading = context;
	struct io_file *file;
	uint64_t size;
	int error = io_open(loading->from, name, IO_READ_ONLY, &file);

	if (error)
		return error > 0 ? -ENOENT : error;
	error = io_size(file, &size);
	if (!error) {
		uint8_t *bytes = malloc(size + 1);

		CHECK(bytes);
		error = io_read(file, 0, bytes, size);
		if (!error)
			faulty_file_set(loading->faulty, name, bytes, size);
		free(bytes);
	}
	io_close(file);
	return error > 0 ? -EIO : error;
}

int faulty_load(struct faulty *faulty, const char *folder)
{
	struct loading loading = {.faulty = faulty};
	uint64_t capacity = faulty->disk.capacity;
	int error = io_plain_new(folder, /* create= */ false, &loading.from);

	if (error)
		return error > 0 ? -ENOENT : error;
	faulty_restart_process(faulty);
	faulty_disk_deinit(&faulty->disk);
	faulty->disk.capacity = capacity;
	error = io_list(loading.from, load_file, &loading);
	io_free(loading.from);
	return error;
}
