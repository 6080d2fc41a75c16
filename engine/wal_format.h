/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Wal format - bytes of log files: header, frames; and the database header in a checkpoint
 *
 * Version 1 is the V3 log's file: one file, frames without a checksum. Version 2 is a segment of
 * Tern's log. docs/format/wal.md has the tables. A segment that others made and that says nothing
 * in the four fields of Tern's own (all zero) is plain: its header has no checksum.
 *
 * Threads: any.
 */

#include "engine/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a header, of either version; frames follow. */
#define WAL_HEADER_SIZE 64

/* Bytes of a frame before its record. */
#define WAL_FRAME_HEAD_V1 4
#define WAL_FRAME_HEAD    8

/* Bytes of the smallest record, PageAllocate's. */
#define WAL_RECORD_SIZE_MIN 28

/* Bytes of the database header. */
#define WAL_DATABASE_SIZE 112

/* Levels of a B+tree: with half-full pages 10 levels hold more than 2^64 keys. */
#define WAL_DATABASE_HEIGHT_MAX 16

enum {
	WAL_FORMAT_E_INVALID = 1, /* not that, or damaged */
	WAL_FORMAT_E_EMPTY,       /* zeros: nothing was written here */
	WAL_FORMAT_E_SHORT,       /* a frame that goes on behind the bytes given */
};

struct wal_header {
	uint32_t version;          /* 1 or 2 */
	uint32_t page_size;        /* 4096, 8192 or 16384 */
	uint64_t created_at;       /* Unix seconds */
	uint64_t current_lsn;      /* version 1: the next to be given; 2: the first in here */
	uint64_t committed_lsn;    /* version 2: all up to here was synced before this one began */
	uint64_t checkpointed_lsn; /* version 2: what the log was released up to */
	uint32_t number;           /* version 2: the one in the segment's name */
	uint32_t salt;             /* version 2: random; Durable records in here repeat it */
	uint32_t store;            /* version 2: first bytes of the store's id */
};

/* 'number', 'salt' and 'store' are written as they are; with all three 0 the header is plain. */
void wal_header_encode(const struct wal_header *header, uint8_t bytes[WAL_HEADER_SIZE]);

/* Returns 0, WAL_FORMAT_E_EMPTY or WAL_FORMAT_E_INVALID. */
int wal_header_decode(const uint8_t bytes[WAL_HEADER_SIZE], struct wal_header *ret_header);

/* Whether a header of version 2 has none of Tern's own fields. */
static inline bool wal_header_is_plain(const struct wal_header *header)
{
	return header->number == 0 && header->salt == 0 && header->store == 0;
}

/* Bytes of the record's frame in version 2. */
static inline size_t wal_frame_size(const struct record *record)
{
	return WAL_FRAME_HEAD + record_size(record);
}

/* Version 2. 'bytes' has room for wal_frame_size(). Returns 0 or RECORD_E_SIZE. */
int wal_frame_encode(const struct record *record, uint8_t *bytes);

/*
 * The frame at the beginning of 'bytes'. The record borrows from them.
 *
 * Returns 0; WAL_FORMAT_E_EMPTY (size and checksum are 0); WAL_FORMAT_E_SHORT: the frame may be
 * whole if more bytes are given, '*ret_size' says how many it takes; or WAL_FORMAT_E_INVALID.
 */
int wal_frame_decode(uint32_t version, const uint8_t *bytes, size_t size, struct record *ret_record,
		     size_t *ret_size);

/* What the database looked like at a checkpoint (V3's 112 bytes, big-endian). */
struct wal_database {
	uint32_t flags; /* WAL_DATABASE_FLAG_* */
	uint64_t node_count;
	uint64_t edge_count;
	uint64_t node_root; /* page numbers; 0: none */
	uint64_t edge_root;
	uint64_t outgoing_offset; /* byte offsets */
	uint64_t incoming_offset;
	uint64_t free_offset;
	uint64_t index_root; /* page numbers; 0: none */
	uint64_t free_head;
	uint64_t page_count;
	uint32_t page_size;
	uint32_t height;
};

#define WAL_DATABASE_FLAG_FRAMED   1
#define WAL_DATABASE_FLAG_ATOMIC   2
#define WAL_DATABASE_FLAG_BTREE    4
#define WAL_DATABASE_FLAG_DYNAMIC  8
#define WAL_DATABASE_FLAG_REQUIRED 7

void wal_database_encode(const struct wal_database *database, uint8_t bytes[WAL_DATABASE_SIZE]);

/* Checks everything. Returns 0 or WAL_FORMAT_E_INVALID. */
int wal_database_decode(const uint8_t *bytes, size_t size, struct wal_database *ret_database);
