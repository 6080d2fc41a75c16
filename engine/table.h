/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Table - a sorted, immutable file of versions of keys
 *
 * Entries are ordered by key (bytes, ascending), then by sequence number (descending). They lie in
 * blocks of about TABLE_BLOCK_SIZE bytes in which a key is written as what differs from the one
 * before; each block has a CRC-32C and may be compressed by zstd. Behind the blocks stand: range
 * tombstones, the filter, the smallest and largest sequence number of each block (seqno_bounds),
 * the index, properties, and the footer. docs/format/table.md has the bytes.
 *
 * A table that was built elsewhere (ingested) has local numbers 0 and a global one, which
 * the reader adds to all it gives out.
 *
 * Threads: a writer by one; a reader by one at a time (reader and cursor of a background job are
 * its own).
 */

#include "engine/entry.h"
#include "engine/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_BLOCK_SIZE 4096

enum {
	TABLE_E_CORRUPT = 1, /* the text of the reader says what, and at which offset */
	TABLE_E_END,         /* no entry there */
	TABLE_E_WAIT, /* a block isn't in the cache, and was asked for: again when the queue says so
		       */
};

struct table_writer_options {
	uint32_t block_size; /* 0: TABLE_BLOCK_SIZE */
	bool compress; /* try zstd; a block that it doesn't make an eighth smaller stays as it is */
	bool without_bounds;  /* as older writers: no seqno_bounds section */
	uint32_t filter_bits; /* a key; 0: 10 */
	uint8_t store[16];    /* whose file */
	uint64_t number;      /* of the file */
};

/* What the manifest remembers of a table. */
struct table_summary {
	uint64_t size;
	uint64_t entries;
	uint64_t tombstones; /* of every kind */
	uint64_t seqno_min;
	uint64_t seqno_max;
	uint64_t blob_bytes; /* that entries point to */
	uint32_t crc;        /* of the footer */
	uint16_t key_first_size;
	uint16_t key_last_size;
	uint8_t key_first[ENTRY_KEY_MAX]; /* range tombstones included */
	uint8_t key_last[ENTRY_KEY_MAX];
};

struct table_writer;

int table_writer_new(struct io *io, const char *name, const struct table_writer_options *options,
		     struct table_writer **ret_writer);
/* In order, except range tombstones, which may come at any time. Returns 0 or a negative errno. */
int table_writer_add(struct table_writer *writer, const struct entry *entry);
uint64_t table_writer_size(const struct table_writer *writer);
/* Writes the rest and syncs (the folder is the caller's). Frees the writer, whatever it returns. */
int table_writer_finish(struct table_writer *writer, struct table_summary *ret_summary);
/* Removes the file. */
void table_writer_abort(struct table_writer *writer);

struct table;
struct block_cache;

struct table_options {
	uint8_t store[16];
	uint64_t number;
	uint64_t seqno_global;     /* added to every number given out; 0 for tables of our own */
	struct block_cache *cache; /* borrowed; NULL: blocks are read for each use */
};

/* Checks footer, index, filter, bounds and properties. Returns 0, TABLE_E_CORRUPT ('error') or a
 * negative errno. */
int table_open(struct io *io, const char *name, const struct table_options *options,
	       struct table **ret_table, char *error, size_t error_size);
void table_close(struct table *table);
const struct table_summary *table_summary(const struct table *table);
const char *table_error(const struct table *table);

/* False: the key is certainly not in the table (range tombstones aside). */
bool table_may_have(const struct table *table, struct entry_bytes key);

/* Range tombstones: count, and the index-th, in the order of their keys. */
uint32_t table_range_count(const struct table *table);
struct entry table_range(const struct table *table, uint32_t index);

struct table_cursor;
struct table_cursor_options {
	bool wait_never;     /* TABLE_E_WAIT instead of blocking on a block that isn't cached */
	uint64_t seqno_from; /* blocks without a number in [from, to] are skipped by the bounds,
				others may still give entries outside */
	uint64_t seqno_to;   /* 0: no window */
	bool distrust_bounds;
};

int table_cursor_new(struct table *table, const struct table_cursor_options *options,
		     struct table_cursor **ret_cursor);
void table_cursor_free(struct table_cursor *cursor);
/* To the first entry at or behind (key, seqno); seqno UINT64_MAX: the key's youngest. Returns 0,
 * TABLE_E_END, TABLE_E_WAIT, TABLE_E_CORRUPT or a negative errno. */
int table_cursor_seek(struct table_cursor *cursor, struct entry_bytes key, uint64_t seqno);
int table_cursor_first(struct table_cursor *cursor);
int table_cursor_last(struct table_cursor *cursor);
int table_cursor_next(struct table_cursor *cursor);
int table_cursor_previous(struct table_cursor *cursor);
/* Borrows until the cursor moves. Valid after a call that returned 0. */
const struct entry *table_cursor_entry(const struct table_cursor *cursor);
/* Blocks read from the file, and bytes: for the feed's claim. */
void table_cursor_cost(const struct table_cursor *cursor, uint64_t *ret_blocks,
		       uint64_t *ret_bytes);
