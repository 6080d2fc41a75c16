/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal window - a file seen through a buffer of fixed size that moves forward
 *
 * Threads: one.
 */

#include "engine/io.h"
#include "engine/wal_format.h"

/* Bytes that the window moves by at least, before it needs to read again. */
#define WAL_WINDOW_PIECE (UINT32_C(1) << 20)

/* Bytes of its buffer: what is asked for at once is a frame at most. */
#define WAL_WINDOW_SIZE (WAL_WINDOW_PIECE + RECORD_SIZE_MAX + WAL_FRAME_HEAD)

struct wal_window {
	struct io_file *file; /* borrowed */
	uint64_t file_size;
	uint8_t *bytes;  /* borrowed: WAL_WINDOW_SIZE */
	uint64_t offset; /* of bytes[0] in the file */
	size_t size;
	uint64_t read; /* bytes, in all */
};

/* Shows another file from its beginning. Returns 0 or a negative errno. */
int wal_window_open(struct wal_window *window, struct io_file *file);

/*
 * Lends the bytes from 'offset' on: 'size' of them, at most a frame's, or what the file has. More
 * may be given. Borrows until the next call. Returns 0 or a negative errno.
 */
int wal_window_at(struct wal_window *window, uint64_t offset, size_t size,
		  const uint8_t **ret_bytes, size_t *ret_size);
