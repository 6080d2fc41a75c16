/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Block - a run of entries, in order
 *
 *      entry ... entry | restarts, u32 each | their count, u32
 *
 * A key is written as the number of bytes it shares with the one before and the rest of it; every
 * BLOCK_RESTART-th key is whole, and the restarts say where those are, so that a search
 * halves among them and then walks at most BLOCK_RESTART entries. docs/format/table.md has the
 * bytes of an entry.
 *
 * A block's bytes were checked by their CRC, but each step checks again that it stays within
 * them: what a hostile file says can't lead outside.
 *
 * Threads: any; a cursor belongs to one.
 */

#include "engine/entry.h"

#include <stddef.h>
#include <stdint.h>

/* Entries from one whole key to the next. Half of what is usual: with 4 KiB blocks and values of
 * 100 bytes gets are a quarter faster for 1% more bytes (measured). */
#define BLOCK_RESTART 8

enum {
	BLOCK_E_END = 1, /* no entry there */
	BLOCK_E_CORRUPT, /* these are no entries */
};

/* Makes a block. */
struct block_writer {
	uint8_t *bytes; /* owned; grows to the largest block */
	uint32_t size;  /* of the entries */
	uint32_t capacity;
	uint32_t *restarts; /* owned */
	uint32_t restart_count, restart_capacity;
	uint32_t count;
	uint32_t key_size; /* of the last key */
	uint8_t key[ENTRY_KEY_MAX];
};

/* Zeros are an empty writer. Frees what it owns. */
void block_writer_deinit(struct block_writer *writer);

/* Behind the entries so far; the order is the caller's. Returns 0 or -ENOMEM. */
int block_writer_add(struct block_writer *writer, const struct entry *entry);

/* Of the block, if it were finished. */
uint32_t block_writer_size(const struct block_writer *writer);

/* At most what block_writer_add() makes the block longer by. */
uint32_t block_writer_cost(const struct entry *entry);

/* Puts the restarts behind the entries. The bytes, block_writer_size() before, are the writer's
 * until block_writer_reset(). Returns 0 or -ENOMEM. */
int block_writer_finish(struct block_writer *writer, const uint8_t **ret_bytes, uint32_t *ret_size);

/* Empties it. The last key stays, for who makes the next block. */
void block_writer_reset(struct block_writer *writer);

/* The parts of a block. Borrows its bytes. */
struct block {
	const uint8_t *bytes;
	const uint8_t *restarts;
	uint32_t entries_size;
	uint32_t restart_count; /* at least 1 */
};

/* Returns 0 or BLOCK_E_CORRUPT. */
int block_open(const uint8_t *bytes, uint32_t size, struct block *ret_block);

/* A place in a block. */
struct block_cursor {
	struct block block; /* the caller's block_open() */
	uint32_t offset;    /* of the entry */
	uint32_t next;      /* behind it */
	struct entry entry;
	uint8_t key[ENTRY_KEY_MAX]; /* where entry.key lies */
};

/* To an entry, which borrows from block and cursor until the next step. Each returns 0,
 * BLOCK_E_END or BLOCK_E_CORRUPT. At an end next and previous leave the cursor where it is; after
 * anything else only first, last and seek may follow. */
int block_first(struct block_cursor *cursor);
int block_last(struct block_cursor *cursor);
int block_next(struct block_cursor *cursor);
int block_previous(struct block_cursor *cursor);

/* The first at or behind (key, seqno). */
int block_seek(struct block_cursor *cursor, struct entry_bytes key, uint64_t seqno);
