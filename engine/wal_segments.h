/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal segments - the files of the log: those begun, and spares made ahead
 *
 * A spare has its full size, written with zeros (or with what an earlier use left), synced, and
 * under its last name, in a synced folder, before it is used: so that nothing but bytes changes
 * while it is written. One that is released is used again where there is need, which takes a
 * renaming only.
 *
 * Nothing here blocks, but for opening and closing: the work is cut into chores, each of which is
 * one operation of the queue, one at a time.
 *
 *      released --LET_GO--> named ---SYNC_NAMES---> spare --OPEN--> ready --> begun --> released
 *                  |          ^                                        CLOSE: the one before it
 *               (gone)        |
 *      CREATE --> ZEROS ... --> SYNC --> CLOSE_NEW --> NAME
 *
 * One that finds no room (ENOSPC) waits for wal_segments_retry(), and holds up none of the others;
 * any other failure, and every one of a sync of the folder, is the log's end.
 *
 * Threads: the log's owner.
 */

#include "engine/io.h"
#include "engine/wal.h"
#include "engine/wal_folder.h"

/* Bytes that one operation writes of a new segment. */
#define WAL_ZERO_SIZE (UINT32_C(256) << 10)

#define WAL_SPARE_NEW "wal-new"

enum {
	WAL_SEGMENTS_E_BUSY = 1, /* there are chores to do first */
};

enum wal_chore {
	CHORE_NONE,
	CHORE_CLOSE,      /* the segment that was written to before the last */
	CHORE_OPEN,       /* the first spare */
	CHORE_LET_GO,     /* the oldest segment becomes a spare, or is removed */
	CHORE_SYNC_NAMES, /* makes spares of what was named */
	/* A new one, in this order. */
	CHORE_CREATE,
	CHORE_ZEROS, /* the next piece */
	CHORE_SYNC,
	CHORE_CLOSE_NEW,
	CHORE_NAME,
};

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
	bool headed;                    /* the last one's header is on the disk: the log says so */
	uint64_t released;              /* those all of whose records are below may go */
	uint32_t spares[WAL_SPARE_MAX]; /* numbers, rising */
	uint32_t spare_count;
	uint32_t named_count; /* behind the spares: named, and the folder isn't synced since */
	bool names_changed;   /* since the folder was synced */
	uint32_t next_number; /* above all that there were */
	uint64_t recycled;
	struct io_file *ready;   /* the first spare; NULL: it isn't open yet */
	struct io_file *closing; /* NULL: none */
	struct io_file *making;  /* the new one, while it is written */
	uint64_t made;           /* bytes of it that are written */
	enum wal_chore next_of_new;
	enum wal_chore chore; /* under way: 'op' */
	unsigned waits;       /* for room: a bit for each chore */
	struct io_op op;
	char name[IO_NAME_MAX + 1]; /* of 'op' */
	char to[IO_NAME_MAX + 1];
};

/*
 * Takes in what the folder has: 'segments' has io, queue, zeros with their size, segment_size and
 * spare_max. The last segment is synced. Blocks. Returns 0, -EINVAL (a segment begins behind
 * 'next_lsn') or a negative errno; then too wal_segments_close() is called.
 */
int wal_segments_open(struct wal_segments *segments, uint64_t next_lsn);

/* No chore is under way. Blocks. */
void wal_segments_close(struct wal_segments *segments);

/* Begins the next chore, unless one is under way. Returns 0 or a negative errno. */
int wal_segments_work(struct wal_segments *segments);

/* The chore's operation ended. Returns 0 (also if it waits for room) or a negative errno. */
int wal_segments_step(struct wal_segments *segments);

/* A new one is made, unless there is a spare, or will be one. */
void wal_segments_make(struct wal_segments *segments);

/* What waits for room is done again. */
static inline void wal_segments_retry(struct wal_segments *segments)
{
	segments->waits = 0;
}

/* Whether a segment can be begun. */
static inline bool wal_segments_ready(const struct wal_segments *segments)
{
	return segments->ready && !segments->closing && segments->begun_count < WAL_SEGMENT_MAX;
}

/* Whether none can, until there is room. */
bool wal_segments_stuck(const struct wal_segments *segments);

/*
 * Counts the next spare, which is ready, as begun with the LSN 'first', and takes the file of
 * the 'last' one, or NULL. The caller owns the file that is returned, and sets 'headed' when its
 * header is on the disk.
 */
struct io_file *wal_segments_begin(struct wal_segments *segments, uint64_t first,
				   struct io_file *last, uint32_t *ret_number);

/* Whether all that was released has gone. Returns 0, WAL_SEGMENTS_E_BUSY, or -ENOSPC while it waits
 * for room. */
int wal_segments_letting_go(const struct wal_segments *segments);
