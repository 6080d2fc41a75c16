/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal segments - the files of the log: those begun, and spares made ahead
 *
 * A spare has its full size, written with zeros (or with what an earlier use left), synced, and
 * under its last name, before it is used: so that nothing but bytes changes while it is written. A
 * new one is made by operations of a queue, WAL_ZERO_SIZE bytes at a time, under the name
 * WAL_SPARE_NEW; only its last step, the renaming and the sync of the folder, blocks. One that is
 * released is used again where there is need, which takes a renaming only.
 *
 * Threads: the log's owner.
 */

#include "engine/io.h"
#include "engine/wal.h"
#include "engine/wal_folder.h"

/* Bytes that one operation writes of a new segment. */
#define WAL_ZERO_SIZE (UINT32_C(256) << 10)

#define WAL_SPARE_NEW "wal-new"

struct wal_segment {
	uint32_t number;
	uint64_t first; /* its first LSN */
	uint64_t size;
};

struct wal_segments {
	struct io *io; /* borrowed, as the queue */
	struct io_queue *queue;
	uint8_t *zeros;      /* borrowed, aligned */
	uint32_t zeros_size; /* WAL_ZERO_SIZE, or a segment's if that is less */
	uint64_t segment_size;
	uint32_t spare_max;
	struct wal_segment *begun; /* oldest first; the last is written to */
	uint32_t begun_count;
	uint32_t spares[WAL_SPARE_MAX]; /* numbers, rising */
	uint32_t spare_count;
	uint32_t next_number; /* above all that there were */
	uint64_t recycled;
	struct io_file *making; /* the new one, while it is made */
	uint64_t made;          /* bytes of it that are written */
	struct io_op op;
	bool under_way; /* 'op' */
	int waits;      /* -ENOSPC: until wal_segments_make() */
};

/*
 * Takes in what the folder has: 'segments' has io, queue, zeros with their size, segment_size and
 * spare_max. The last segment is synced. Returns 0, -EINVAL (a segment begins behind 'next_lsn') or
 * a negative errno; then too wal_segments_close() is called.
 */
int wal_segments_open(struct wal_segments *segments, uint64_t next_lsn);

/* Its operation has ended. */
void wal_segments_close(struct wal_segments *segments);

/* Begins to make a spare, or goes on where room was missing. Returns 0 or a negative errno. */
int wal_segments_make(struct wal_segments *segments);

/* The operation ended: takes the next step. Returns 0 (also while it waits for room) or a negative
 * errno. */
int wal_segments_step(struct wal_segments *segments);

/* Opens the next spare, and counts it as begun. Returns 0, -ENOSPC (there is none yet; it is being
 * made, or the list is full) or a negative errno. */
int wal_segments_begin(struct wal_segments *segments, uint64_t first, struct io_file **ret_file,
		       uint32_t *ret_number);

/* Whether wal_segments_begin() would find one. */
static inline bool wal_segments_ready(const struct wal_segments *segments)
{
	return segments->spare_count > 0 && segments->begun_count < WAL_SEGMENT_MAX;
}

/* Whether it will not, until there is room. */
static inline bool wal_segments_stuck(const struct wal_segments *segments)
{
	return segments->begun_count == WAL_SEGMENT_MAX ||
	       (segments->spare_count == 0 && segments->waits != 0);
}

/* As wal_release(). */
int wal_segments_release(struct wal_segments *segments, uint64_t lsn);
