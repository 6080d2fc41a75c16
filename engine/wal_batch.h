/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal batch - frames that one flush writes, laid out as they will lie in the file
 *
 * The bytes begin with what the last block of the file holds already, since a write takes whole
 * blocks of IO_ALIGN bytes. A batch may go over the end of a segment: then it has a second part,
 * which begins with the header of the next segment.
 *
 *      bytes  |in the file|frames ......|0|pad|header|frames .......|0|pad|
 *             0         from       split       second            used
 *
 * Behind the last frame of each part stand at least WAL_END_SIZE zero bytes, so that a reader knows
 * the end from what an earlier use of the file left behind it.
 *
 * A batch is a plain struct: a copy of it is a mark to go back to, as long as only frames were
 * added since.
 *
 * Threads: the log's owner.
 */

#include "engine/io.h"
#include "engine/wal_format.h"

/* Zero bytes behind the last frame. */
#define WAL_END_SIZE 8

/* Bytes that a batch needs beside its frames: block of before, end and padding of both parts,
 * header, a Durable record. */
#define WAL_BATCH_EXTRA (5 * IO_ALIGN)

struct wal_batch {
	uint8_t *bytes; /* borrowed, aligned to IO_ALIGN */
	uint64_t base;  /* where bytes[0] lies in the first part's segment */
	size_t from;    /* bytes before it are in the file */
	size_t used;    /* end of the frames */
	bool has_second;
	size_t split; /* end of the first part; where there is a second */
	size_t second;
	struct wal_header header; /* of the second part; its number is set when it is written */
	uint64_t last_lsn;        /* 0: no record */
	uint64_t size;            /* of frames, Durable aside */
	bool has_durable;
	size_t durable_at;     /* its frame */
	struct record durable; /* to write it again with what is durable then */
};

/* Where a part lies in 'bytes', as whole blocks. */
struct wal_part {
	uint8_t *bytes;
	size_t size;
	uint64_t offset; /* in its segment */
};

/* An empty batch that goes on where 'before' (of other bytes) ends. */
void wal_batch_follow(struct wal_batch *batch, const struct wal_batch *before);

/* Where the frames end in their segment. */
uint64_t wal_batch_end(const struct wal_batch *batch);

/* Whether a frame of 'size' bytes still fits into a segment of 'segment_size' bytes. */
bool wal_batch_fits(const struct wal_batch *batch, size_t size, uint64_t segment_size);

/* Begins the second part with the header of the segment that it goes to. */
void wal_batch_split(struct wal_batch *batch, const struct wal_header *header);

/* Which segment it is. */
void wal_batch_number(struct wal_batch *batch, uint32_t number);

/* Adds a record, which is encoded, or a frame as it is; the caller has seen to the room. */
void wal_batch_add(struct wal_batch *batch, const struct record *record);
void wal_batch_add_frame(struct wal_batch *batch, const uint8_t *frame, size_t size, uint64_t lsn);

/* Adds the Durable record. wal_batch_settle() writes it again, with what is durable by then. */
void wal_batch_add_durable(struct wal_batch *batch, const struct record *record);
void wal_batch_settle(struct wal_batch *batch, uint64_t durable);

/* Blocks of a part, with zeros behind the frames; size 0: the part has nothing that isn't in the
 * file. */
struct wal_part wal_batch_first(struct wal_batch *batch);
struct wal_part wal_batch_second(struct wal_batch *batch);
