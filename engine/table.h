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
 * Whose file it is (store and number) goes into every checksum, and so does the place of what is
 * checked: a file of another store, a renamed one and a block from elsewhere are refused. A table
 * that is made to be ingested anywhere has a store and a number of zeros, and is opened with them.
 *
 * Blocks are read through a cache (engine/block_cache.h), or, by background jobs, without one.
 *
 * Threads: a writer by one; a reader by one at a time (reader and cursor of a background job are
 * its own).
 */

#include "engine/entry.h"
#include "engine/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a block's entries, unless the writer's options say otherwise; a longer entry has a block
 * of its own. */
#define TABLE_BLOCK_SIZE 4096

/* What block sizes and filters can be asked for. */
#define TABLE_BLOCK_SIZE_MAX  (UINT32_C(1) << 20)
#define TABLE_FILTER_BITS_MAX 24

/* Bytes of a table's range tombstones, filter, bounds, index or properties. */
#define TABLE_SECTION_MAX (UINT32_C(1) << 30)

enum {
	TABLE_E_CORRUPT = 1, /* the text of the reader says what, and at which offset */
	TABLE_E_END,         /* no entry there */
	TABLE_E_WAIT,        /* a block isn't in the cache, and was asked for: again after
				block_cache_poll() */
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
	uint64_t entries;    /* range tombstones among them */
	uint64_t tombstones; /* of every kind */
	uint64_t seqno_min;  /* of all entries; UINT64_MAX when there is none */
	uint64_t seqno_max;
	uint64_t blob_bytes; /* of the frames that entries point to */
	uint32_t crc;        /* of the footer, which has one of all blocks' */
	uint16_t key_first_size;
	uint16_t key_last_size;
	uint8_t key_first[ENTRY_KEY_MAX]; /* range tombstones included */
	uint8_t key_last[ENTRY_KEY_MAX];  /* or the end of one, which isn't deleted itself */
};

struct table_writer;

int table_writer_new(struct io *io, const char *name, const struct table_writer_options *options,
		     struct table_writer **ret_writer);

/*
 * In order (entry_compare(), no two alike), except range tombstones, which may come at any time and
 * in any order. Copies. Returns 0, -EINVAL (out of order, a key or value that is too long, an empty
 * key, an end not behind its start) or another negative errno, after which the writer is only good
 * for table_writer_abort().
 */
int table_writer_add(struct table_writer *writer, const struct entry *entry);

/* Of the file so far, what waits for its block to be full included; the index and so on not. */
uint64_t table_writer_size(const struct table_writer *writer);

/* Writes the rest and syncs (the folder is the caller's). Frees the writer, whatever it returns;
 * unless that is 0 the file is removed. */
int table_writer_finish(struct table_writer *writer, struct table_summary *ret_summary);

/* Removes the file. NULL is fine. */
void table_writer_abort(struct table_writer *writer);

struct table;
struct block_cache;

struct table_options {
	uint8_t store[16];
	uint64_t number;
	uint64_t seqno_global;     /* added to every number given out; 0 for tables of our own */
	struct block_cache *cache; /* borrowed; NULL: blocks are read for each use */
	bool distrust_bounds;      /* doesn't load them: opens a table in which they are damaged */
};

/* Checks footer, index, filter, bounds and properties. Returns 0, TABLE_E_CORRUPT ('error'),
 * -ENOENT or another negative errno. */
int table_open(struct io *io, const char *name, const struct table_options *options,
	       struct table **ret_table, char *error, size_t error_size);

/* For tools: sets store and number to what the file says that it is. Returns 0, TABLE_E_CORRUPT (no
 * table), -ENOENT or another negative errno. */
int table_identify(struct io *io, const char *name, struct table_options *options);

/* Has blocks read through the cache from now on. The table was opened without one, and no cursor
 * and no pin is there. Again with the same one: changes nothing. */
void table_set_cache(struct table *table, struct block_cache *cache);

/* Whether reads of it are under way, for which table_close() would wait. */
bool table_is_read(const struct table *table);

/* Waits for reads of it that are under way. No cursor and no pin is left. NULL is fine. */
void table_close(struct table *table);

/* Numbers are global ones. */
const struct table_summary *table_summary(const struct table *table);

/* What the last TABLE_E_CORRUPT was: one line. */
const char *table_error(const struct table *table);

/* False: the key is certainly not in the table (range tombstones aside). */
bool table_may_have(const struct table *table, struct entry_bytes key);

/* Range tombstones: count, and the index-th, in the order of their keys. */
uint32_t table_range_count(const struct table *table);
struct entry table_range(const struct table *table, uint32_t index);

/* A block that stays where it is. All zeros: none. */
struct block_cached; /* engine/block_cache.h */
struct table_pin {
	struct block_cache *cache;
	struct block_cached *cached; /* NULL: 'own' has the bytes */
	uint8_t *own;
	uint32_t own_capacity;
	const uint8_t *bytes; /* the block's, checked and uncompressed */
	uint32_t size;
};

enum { TABLE_WAIT_NEVER = 1 };

/*
 * The key's youngest version that is numbered at most 'seqno' (UINT64_MAX: any), if the table has
 * one. Range tombstones aren't looked at. Reads at most one block. 'pin' is zeros or another
 * get's, and is then reused. The entry's key borrows from the caller, its value until the pin's
 * release or next use.
 *
 * Returns 0, TABLE_E_END, TABLE_E_WAIT, TABLE_E_CORRUPT or a negative errno.
 */
int table_get(struct table *table, struct entry_bytes key, uint64_t seqno, unsigned flags,
	      struct table_pin *pin, struct entry *ret_entry);

/* Leaves zeros. */
void table_pin_release(struct table_pin *pin);

/* One block, for tools. */
struct table_block {
	uint64_t offset;
	uint32_t size;     /* in the file, its checksum included */
	uint32_t raw_size; /* of its entries, uncompressed */
	bool compressed;
	bool has_bounds;
	uint64_t seqno_min; /* global */
	uint64_t seqno_max;
	struct entry_bytes separator; /* at or behind its last key, before the next block's first */
};

uint32_t table_block_count(const struct table *table);
struct table_block table_block(const struct table *table, uint32_t index);

/* Bytes by part, checksums included: together they are the file. */
struct table_parts {
	uint64_t blocks;     /* in the file */
	uint64_t raw;        /* uncompressed */
	uint32_t block_size; /* that the writer was asked for */
	uint32_t ranges, filter, bounds, index, properties, footer;
	uint32_t filter_probes;
};
struct table_parts table_parts(const struct table *table);

/* Reads everything, and checks what table_open() can't: each block and its entries' order, bounds,
 * filter, summary. Returns 0, TABLE_E_CORRUPT or a negative errno. */
int table_verify(struct table *table);

struct table_cursor;
struct table_cursor_options {
	bool wait_never;     /* TABLE_E_WAIT instead of blocking on a block that isn't cached: the
				cursor stands where it stood, and the same call goes on */
	uint64_t seqno_from; /* blocks without a number in [from, to] are skipped by the bounds,
				others may still give entries outside */
	uint64_t seqno_to;   /* 0: no window */
	bool distrust_bounds;
	uint32_t read_ahead; /* without a cache: bytes of blocks that next() reads at once; 0: one
				block */
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
