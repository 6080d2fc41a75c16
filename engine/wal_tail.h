/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal tail - what of a log's last segment no sync is known to have covered
 *
 * After a failed sync a file can be read as it was written, and a later sync says nothing, though
 * the disk never got it. So what a process left behind isn't durable because it can be read and
 * synced: it is because a Durable record says so, and everything else is written once more.
 *
 * Threads: the reader's.
 */

#include "engine/io.h"
#include "engine/record.h"

#include <stddef.h>
#include <stdint.h>

/* Durable records that are remembered until a later one proves what lies before them. */
#define WAL_TAIL_MARK_MAX 16

struct wal_tail {
	uint64_t from; /* offset: what lies before it was synced */
	struct {
		uint64_t lsn;
		uint64_t offset;
	} marks[WAL_TAIL_MARK_MAX]; /* rising */
	uint32_t count;
};

/* A record that was read in this segment, at that offset. */
void wal_tail_note(struct wal_tail *tail, const struct record *record, uint64_t offset);

/* Writes the bytes in [from, to) of the file again as they are, and syncs. 'buffer' is for that.
 * Blocks. Returns 0 or a negative errno. */
int wal_tail_rewrite(struct io *io, const char *name, uint64_t from, uint64_t to, uint8_t *buffer,
		     size_t buffer_size);
