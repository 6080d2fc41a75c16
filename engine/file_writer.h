/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * File writer - a new file, from front to back, by large writes
 *
 * It is there under its name from the beginning; who reads it knows from elsewhere (the
 * manifest) that it was finished.
 *
 * Threads: one.
 */

#include "engine/io.h"

struct file_writer {
	struct io *io;
	struct io_file *file;
	uint8_t *bytes; /* owned: what waits to be written */
	uint32_t used;
	uint64_t written; /* bytes of the file before 'bytes' */
	char name[IO_NAME_MAX + 1];
};

/* Makes the file, empty: what was there under the name is gone. Returns 0 or a negative errno. */
int file_writer_init(struct file_writer *writer, struct io *io, const char *name);

/* Behind what was put before. Returns 0 or a negative errno. */
int file_writer_put(struct file_writer *writer, const void *bytes, uint64_t size);

/* What was put. */
static inline uint64_t file_writer_size(const struct file_writer *writer)
{
	return writer->written + writer->used;
}

/* Writes the rest, syncs and closes. Whatever it returns, the writer is zeros; unless that is 0 the
 * file is removed. Returns 0 or a negative errno. */
int file_writer_finish(struct file_writer *writer);

/* Closes and removes the file. Zeros are fine. */
void file_writer_abort(struct file_writer *writer);
