/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io plain, from inside: a folder and files that are descriptors
 *
 * io_ring.c takes everything from it but the queue.
 *
 * Threads: as io.h says.
 */

#include "engine/io_ops.h"

struct io_plain {
	struct io io;
	int folder; /* its descriptor; also bears the lock */
};

struct io_plain_file {
	struct io_file file;
	int fd;
	bool direct; /* IO_DIRECT was asked for, and the file system can */
};

/* The table of an io of descriptors whose queues are helper threads. */
extern const struct io_ops io_plain_ops;

/* io_plain_new() with another table. */
int io_plain_new_with(const struct io_ops *ops, const char *path, bool create, struct io **ret_io);
