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
};

int io_plain_new_with(io_queue_new_fn *queue_new, const char *path, bool create,
		      struct io **ret_io);

/* Operations are done by a helper thread of the queue, in order, by the calls of their names. */
int io_plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);
