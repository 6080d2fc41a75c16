/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Raw log - what a device gives a log: bytes written and synced, and nothing else
 *
 * One file, written with zeros and synced before, so that a sync changes no metadata; written over
 * from its beginning when it is full. One writer, one write under way.
 *
 *	RAW_LOG_RING      O_DIRECT, io_uring: registered buffer, write with fdatasync linked to it
 *	RAW_LOG_DSYNC     the same in one request: write with RWF_DSYNC
 *	RAW_LOG_DIRECT    O_DIRECT, pwrite, fdatasync
 *	RAW_LOG_BUFFERED  pwrite, fdatasync
 *	RAW_LOG_GROWING   the same, appending to an empty file: what a log that prepares nothing
 *gets
 *
 * Threads: one.
 */

#include <stddef.h>
#include <stdint.h>

/* Of one write. */
#define RAW_LOG_WRITE_MAX (UINT32_C(4) << 20)

enum raw_log_way {
	RAW_LOG_RING,
	RAW_LOG_DSYNC,
	RAW_LOG_DIRECT,
	RAW_LOG_BUFFERED,
	RAW_LOG_GROWING,
	RAW_LOG_WAY_COUNT,
};

const char *raw_log_name(enum raw_log_way way);

struct raw_log;

/* A file of its own in 'folder', of 'size' bytes. Returns 0 or a negative errno: the kernel has no
 * io_uring, the file system no O_DIRECT. */
int raw_log_open(const char *folder, enum raw_log_way way, uint64_t size, struct raw_log **ret_log);

/* Writes and syncs 'size' bytes, a multiple of 4096 up to RAW_LOG_WRITE_MAX. Aborts when that
 * fails. Returns the nanoseconds it took. */
uint64_t raw_log_write(struct raw_log *log, uint32_t size);

/* Removes the file. */
void raw_log_close(struct raw_log *log);
