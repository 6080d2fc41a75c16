/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io plain, from inside: a folder and files that are descriptors
 *
 * What makes its queues is told to it: helper threads, or io_ring.c.
 *
 * Threads: as io.h says.
 */

#include "engine/io_ops.h"

#include <stdatomic.h>

typedef int io_queue_new_fn(struct io *io, uint32_t depth, struct io_queue **ret_queue);

struct io_plain {
	struct io io;
	int folder; /* its descriptor; also bears the lock */
	io_queue_new_fn *queue_new;
};

struct io_plain_file {
	struct io_file file;
	int fd;
	bool direct; /* IO_DIRECT was asked for, and the file system can */

	/*
	 * Changes that ended, and those of them that a sync has covered. Equal: nothing but a
	 * write itself needs to be synced with it. What was done before the file was opened counts
	 * as one. Counts are only compared, and nothing is read by their help: relaxed.
	 */
	_Atomic uint64_t changed;
	_Atomic uint64_t covered;
};

/* A change through the file ended, well or not. */
static inline void io_plain_change(struct io_plain_file *file)
{
	atomic_fetch_add_explicit(&file->changed, 1, memory_order_relaxed);
}

/* What a sync that begins at this moment covers; for io_plain_cover() when it returned 0. */
static inline uint64_t io_plain_changed(struct io_plain_file *file)
{
	return atomic_load_explicit(&file->changed, memory_order_relaxed);
}

static inline void io_plain_cover(struct io_plain_file *file, uint64_t changed)
{
	atomic_store_explicit(&file->covered, changed, memory_order_relaxed);
}

static inline bool io_plain_is_covered(struct io_plain_file *file)
{
	return atomic_load_explicit(&file->covered, memory_order_relaxed) == io_plain_changed(file);
}

int io_plain_new_with(io_queue_new_fn *queue_new, const char *path, bool create,
		      struct io **ret_io);

/* Operations are done by a helper thread of the queue, in order, by the calls of their names. */
int io_plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);
