/* SPDX-License-Identifier: Apache-2.0 */

#include "engine/wal_window.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>

int wal_window_open(struct wal_window *window, struct io_file *file)
{
	window->file = file;
	window->offset = 0;
	window->size = 0;
	return io_size(file, &window->file_size);
}

/* Moves to 'offset', keeps what it has from there on, and fills up. */
static int move(struct wal_window *window, uint64_t offset)
{
	uint64_t end = window->offset + window->size;
	size_t keep = offset >= window->offset && offset < end ? (size_t)(end - offset) : 0;
	uint64_t rest = window->file_size - offset;
	size_t size = rest < WAL_WINDOW_SIZE ? (size_t)rest : WAL_WINDOW_SIZE;
	int result;

	memmove(window->bytes, window->bytes + window->size - keep, keep);
	window->offset = offset;
	window->size = keep;
	if (size == keep)
		return 0;
	result = io_read(window->file, offset + keep, window->bytes + keep, size - keep);
	if (result)
		return result < 0 ? result : -EIO;
	window->read += size - keep;
	window->size = size;
	return 0;
}

int wal_window_at(struct wal_window *window, uint64_t offset, size_t size,
		  const uint8_t **ret_bytes, size_t *ret_size)
{
	uint64_t rest = offset < window->file_size ? window->file_size - offset : 0;
	uint64_t end = window->offset + window->size;
	int result = 0;

	CHECK(size <= RECORD_SIZE_MAX + WAL_FRAME_HEAD);
	if (rest == 0) {
		*ret_size = 0;
		return 0;
	}
	if (size > rest)
		size = (size_t)rest;
	if (offset < window->offset || offset + size > end)
		result = move(window, offset);
	if (result)
		return result;
	*ret_bytes = window->bytes + (offset - window->offset);
	*ret_size = window->size - (size_t)(offset - window->offset);
	return 0;
}
