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

/* Of files that are made. */
#define IO_PLAIN_MODE 0600

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

/* 0 or the negative errno 'error', as what a call that takes the name of a file says. */
int io_plain_outcome(int error);

/* What openat() takes for 'flags' of io_open(). */
int io_plain_how(unsigned flags);

/* Takes the descriptor, of a file that was opened with 'flags'. Returns 0 or -ENOMEM. */
int io_plain_take(int fd, unsigned flags, struct io_file **ret_file);

/* As io_allocate(), when the file system has said that it can't allocate. */
int io_plain_allocate_by_writing(struct io_plain_file *file, uint64_t size);

int io_plain_new_with(io_queue_new_fn *queue_new, const char *path, bool create,
		      struct io **ret_io);

/* Operations are done by a helper thread of the queue, in order, by the calls of their names. */
int io_plain_queue_new(struct io *io, uint32_t depth, struct io_queue **ret_queue);
