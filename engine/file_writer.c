/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/file_writer.h"

#include "base/defs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a write. */
#define BUFFER_SIZE (256U << 10)

int file_writer_init(struct file_writer *writer, struct io *io, const char *name)
{
	int result;

	*writer = (struct file_writer){.io = io};
	snprintf(writer->name, sizeof(writer->name), "%s", name);
	writer->bytes = malloc(BUFFER_SIZE);
	if (!writer->bytes)
		return -ENOMEM;
	result = io_open(io, name, IO_CREATE, &writer->file);
	if (!result)
		result = io_truncate(writer->file, 0);
	if (result)
		file_writer_abort(writer);
	return result;
}

static int write_out(struct file_writer *writer)
{
	int result = io_write(writer->file, writer->written, writer->bytes, writer->used);

	if (result)
		return result;
	writer->written += writer->used;
	writer->used = 0;
	return 0;
}

int file_writer_put(struct file_writer *writer, const void *bytes, uint64_t size)
{
	const uint8_t *from = bytes;

	while (size > 0) {
		uint32_t part = (uint32_t)MIN(size, (uint64_t)BUFFER_SIZE - writer->used);

		memcpy(writer->bytes + writer->used, from, part);
		writer->used += part;
		from += part;
		size -= part;
		if (writer->used == BUFFER_SIZE) {
			int result = write_out(writer);

			if (result)
				return result;
		}
	}
	return 0;
}

int file_writer_finish(struct file_writer *writer)
{
	int result = writer->used > 0 ? write_out(writer) : 0;

	if (!result)
		result = io_sync(writer->file);
	if (result) {
		file_writer_abort(writer);
		return result;
	}
	io_close(writer->file);
	free(writer->bytes);
	*writer = (struct file_writer){0};
	return 0;
}

/* A file that can't be removed stays: the manifest doesn't name it, so the next start tries again.
 * One that couldn't be opened may have been made all the same. */
void file_writer_abort(struct file_writer *writer)
{
	io_close(writer->file);
	if (writer->io)
		(void)io_remove(writer->io, writer->name);
	free(writer->bytes);
	*writer = (struct file_writer){0};
}
