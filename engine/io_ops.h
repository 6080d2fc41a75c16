/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Io ops - what a maker of an io fills in
 *
 * io.c checks names, alignment and room in a queue, counts what is under way, and calls
 * these; so an implementation is given only what makes sense, and a test disk
 * refuses what a real one would. The returns are those of io.h.
 *
 * Threads: as io.h says.
 */

#include "engine/io.h"

struct io_ops {
	void (*free)(struct io *io);
	int (*lock)(struct io *io, bool shared);
	int (*rename)(struct io *io, const char *from, const char *to);
	int (*remove)(struct io *io, const char *name);
	int (*sync_folder)(struct io *io);
	int (*list)(struct io *io, int (*visit)(void *context, const char *name), void *context);

	/* Fills in its own members; io.c those of struct io_file. */
	int (*open)(struct io *io, const char *name, unsigned flags, struct io_file **ret_file);
	void (*close)(struct io_file *file);
	int (*read)(struct io_file *file, uint64_t offset, void *bytes, size_t size);
	int (*write)(struct io_file *file, uint64_t offset, const void *bytes, size_t size);
	int (*sync)(struct io_file *file);
	int (*size)(struct io_file *file, uint64_t *ret_size);
	int (*truncate)(struct io_file *file, uint64_t size);
	int (*allocate)(struct io_file *file, uint64_t size);

	/* Fills in 'ops' and its own members; io.c the others. */
	int (*queue_new)(struct io *io, uint32_t depth, struct io_queue **ret_queue);
};

struct io_queue_ops {
	void (*free)(struct io_queue *queue);
	int (*register_bytes)(struct io_queue *queue, void *bytes, size_t size);
	/* There is room. What can fail later does so in the op's result. */
	void (*submit)(struct io_queue *queue, struct io_op *op);
	uint32_t (*poll)(struct io_queue *queue, struct io_op **ret_ops, uint32_t max);
	/* Something is under way. */
	void (*wait)(struct io_queue *queue);
};

struct io {
	const struct io_ops *ops;
};

struct io_file {
	const struct io_ops *ops;
	unsigned flags; /* of io_open() */
};

struct io_queue {
	const struct io_queue_ops *ops;
	struct io *io; /* whose it is */
	uint32_t depth;
	uint32_t count; /* submitted and not given back */
};

/* Does the operation by blocking calls and sets its result. */
void io_op_run(struct io *io, struct io_op *op);

/* The file's name can be one of a store. */
bool io_name_check(const char *name);
