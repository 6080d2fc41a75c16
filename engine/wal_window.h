/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal window - a file seen through a buffer of fixed size that moves forward
 *
 * With a queue the piece behind the buffer is read, past the page cache where the file system can,
 * while the caller works on what it sees. Then there are two rooms, which change their parts:
 *
 *      seen     | ... worked off ... | kept |
 *      ahead             room to keep  | piece, under way |
 *
 * A step forward copies what is kept, less than a frame, to before the piece, shows that room, and
 * has the other one filled.
 *
 * Threads: one.
 */

#include "engine/io.h"
#include "engine/wal_format.h"

#include <stdbool.h>

/*
 * Bytes of a piece, and of the room before it for what is kept: a frame at least. They are what a
 * huge page is: a disk is quickest where a read is one piece of memory to it.
 */
#define WAL_WINDOW_PIECE (UINT32_C(2) << 20)

/* Bytes of a room. */
#define WAL_WINDOW_SIZE (2 * WAL_WINDOW_PIECE)

struct wal_window {
	struct io *io;        /* borrowed */
	struct io_file *file; /* owned; NULL: none is open */
	uint64_t file_size;
	uint8_t *memory; /* owned: one room or two */
	uint8_t *room;   /* WAL_WINDOW_SIZE; alone, a piece */
	uint8_t *bytes;  /* in the room: what is seen */
	uint64_t offset; /* of bytes[0] in the file */
	size_t size;
	uint64_t read; /* bytes, in all */

	/* Reading ahead: */
	struct io_queue *queue; /* owned; NULL: no file is read ahead */
	struct io_file *direct; /* owned: the same file; NULL: it isn't read ahead */
	uint8_t *next_room;     /* WAL_WINDOW_SIZE */
	struct io_op next;      /* what is under way */
	bool asked;             /* it is */
};

/* 'ahead': files can be read ahead. Returns 0 or a negative errno. */
int wal_window_init(struct io *io, bool ahead, struct wal_window *ret_window);

/* A zeroed one is fine. */
void wal_window_deinit(struct wal_window *window);

/* Bytes of memory that it takes. */
uint64_t wal_window_memory(const struct wal_window *window);

/* Shows that file from its beginning. Returns 0, -ENOENT or another negative errno: then it may be
 * open, and is to be closed. */
int wal_window_open(struct wal_window *window, const char *name, bool ahead);

/* If one is open. */
void wal_window_close(struct wal_window *window);

/*
 * Lends the bytes from 'offset' on: 'size' of them, at most a frame's, or what the file has. More
 * may be given. Borrows until the next call. Returns 0 or a negative errno.
 */
int wal_window_at(struct wal_window *window, uint64_t offset, size_t size,
		  const uint8_t **ret_bytes, size_t *ret_size);
