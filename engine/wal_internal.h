/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal internal - what the log's source files share
 *
 *      wal_open.c    opening and closing
 *      wal.c         appending and transactions
 *      wal_flush.c   the steps of a flush, and what is polled for
 *
 * Threads: the log's owner.
 */

#include "engine/wal.h"
#include "engine/wal_batch.h"
#include "engine/wal_segments.h"

/* Operations under way: the flush's, and the segments'. */
#define WAL_QUEUE_DEPTH 4

/* Of a flush: wal_flush.c. */
enum wal_step {
	STEP_NONE,
	STEP_FIRST,
	STEP_HEADER,
	STEP_SECOND,
	STEP_SYNC,
};

/* What a flush is asked for. */
enum wal_wish {
	WISH_NONE,
	WISH_WRITE,
	WISH_SYNC,
};

struct wal {
	struct io_queue *queue;
	struct io_file *file; /* the last segment */
	struct wal_segments segments;
	struct wal_segment newest; /* whose header is durable */
	uint32_t buffer_size;
	uint32_t store;
	uint32_t salt;
	uint8_t *memory;       /* both batches' bytes, header block, zeros */
	uint8_t *header_block; /* IO_ALIGN, in it */

	struct wal_batch batches[2];
	struct wal_batch *filling;
	struct wal_batch *writing;
	bool in_tx;
	uint64_t tx;
	struct wal_batch tx_mark; /* 'filling' before the transaction */
	uint64_t tx_lsn;          /* the next LSN then */

	enum wal_step step;
	bool under_way; /* 'op' */
	bool waits;     /* 'op' failed for want of room */
	bool blocks;    /* wal_sync() is under way: operations are done at once */
	struct io_op op;
	enum wal_wish now;  /* of the flush under way */
	enum wal_wish next; /* of the one that follows it */
	bool unsynced;      /* something was written and not synced since */

	uint64_t next_lsn;
	uint64_t written;
	uint64_t durable;
	uint64_t noted;     /* what the last Durable record written says */
	uint64_t timestamp; /* of the last record */
	int failed;
	struct wal_stats stats;
};

/* Stops the log for good. */
void wal_stop(struct wal *wal, int error);

/* The header of a segment that begins with 'first'; without its number. */
struct wal_header wal_make_header(const struct wal *wal, uint64_t first);

/* Goes on in another segment if a frame of that size doesn't fit into this one. */
void wal_split_if_full(struct wal *wal, size_t size);

/* Appends a Durable record, if one has something to say. Returns whether it did. */
bool wal_note_durable(struct wal *wal);
