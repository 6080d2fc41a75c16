/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Block cache - what was read from tables and blob files, in a fixed memory
 *
 * The memory is one row of chunks, each with a head; a hand goes round it. To make room it
 * passes over chunks that are pinned and those used since it came by last, and joins
 * the others until they are large enough (CLOCK; Corbato, 1968, with chunks of any size). What is
 * in a chunk is checked and uncompressed.
 *
 *      free --get, absent--> reading --arrived--> here <--put-- pinned
 *        ^                      |                  |  --get-->
 *        +------- failed -------+                  +--- the hand ---> free
 *
 * A caller that may block gets the block; one that must not gets BLOCK_CACHE_E_WAIT while an
 * io_queue reads it, and asks again after block_cache_poll(). A block that is too long for the
 * memory, or that comes when everything is pinned, is read by the first past the cache; the second
 * gets it in memory of its own, of which some MiB stay for a while.
 *
 * Threads: one owner.
 */

#include "engine/piece.h"

#include <stdbool.h>
#include <stdint.h>

/* The least memory, which holds the longest blocks. */
#define BLOCK_CACHE_SIZE_MIN (UINT64_C(4) << 20)

/* Reads under way at once. */
#define BLOCK_CACHE_READ_MAX 64

enum {
	BLOCK_CACHE_E_WAIT = 1, /* it is being read, or the reads under way have to end first */
	BLOCK_CACHE_E_FULL,     /* everything is pinned, or it is too long: read it past the cache;
				   never with 'wait_never' */
	BLOCK_CACHE_E_CORRUPT,  /* the checksum is wrong, or it can't be uncompressed */
	BLOCK_CACHE_E_END,      /* the file ends before it */
};

struct block_cache;

/* A block in the cache, pinned. Behind one that isn't compressed in the file stands its CRC. */
struct block_cached {
	const uint8_t *bytes;
	uint32_t size;
};

/* The file that a block is of. */
struct block_cache_file {
	struct io_file *file;
	uint64_t id;   /* from block_cache_id() */
	uint32_t seed; /* piece_seed() */
};

struct block_cache_stats {
	uint64_t size;   /* memory for chunks */
	uint64_t hits;   /* gets that found their block */
	uint64_t misses; /* gets that began a read */
	uint64_t evicted;
	uint64_t full;    /* gets that found no room */
	uint64_t outside; /* bytes outside of the memory, at the moment */
	uint32_t pinned;  /* chunks, at the moment */
	uint32_t reads;   /* under way */
};

/* Takes all memory there will be. Returns 0, -EINVAL (less than BLOCK_CACHE_SIZE_MIN) or another
 * negative errno. */
int block_cache_new(struct io *io, uint64_t size, struct block_cache **ret_cache);

/* Nothing is pinned. Waits for reads under way. NULL is fine. */
void block_cache_free(struct block_cache *cache);

/* A number for a file that is opened; never given twice. */
uint64_t block_cache_id(struct block_cache *cache);

/* Whether something is being read from the file with this id. */
bool block_cache_is_read(const struct block_cache *cache, uint64_t id);

/* Waits until nothing is read from the file with this id, so that it can be closed. */
void block_cache_leave(struct block_cache *cache, uint64_t id);

/*
 * Pins the block. '*ret_missed' says whether a read was begun for it.
 *
 * Returns 0, one of the four (BLOCK_CACHE_E_WAIT only if 'wait_never') or a negative errno.
 */
int block_cache_get(struct block_cache *cache, const struct block_cache_file *file,
		    struct piece_place place, bool wait_never, bool *ret_missed,
		    struct block_cached **ret_block);
void block_cache_put(struct block_cache *cache, struct block_cached *block);

/* Takes in what was read. Never blocks. Returns whether anything was. */
bool block_cache_poll(struct block_cache *cache);

/* The cache's ZSTD_DCtx, for its owner, who then needs none of his own for each file. */
void *block_cache_inflater(struct block_cache *cache);

struct block_cache_stats block_cache_stats(const struct block_cache *cache);
