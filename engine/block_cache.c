/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Invariants:
 *
 *  1. Chunks lie one behind the other from the memory's start to its end: chunk + chunk->size is
 *     the next one or the end.
 *  2. A chunk is in the hash table if and only if it isn't free, and there is one for a (file,
 *     offset).
 *  3. A chunk that is being read is not moved, joined or found by the hand; nor is a pinned one.
 *  4. The hand is at a chunk, or at the end.
 *  5. A chunk outside of the memory is being read, or pinned, or one of 'idle'.
 */
#include "engine/block_cache.h"

#include "base/check.h"
#include "base/defs.h"
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

/* Chunks are multiples of it, head included. */
#define UNIT 64

/* Of the memory, so that it can lie in huge pages. */
#define MEMORY_ALIGN (UINT64_C(2) << 20)

/* Chunks in use that the hand spares until it takes the next, so that a turn has an end that is
 * near: it takes memory that was used lately rather than walk through all. */
#define PATIENCE 64

/* Bytes as they lie in the file, of a compressed block that is on its way; what is longer is read
 * behind its own raw bytes. */
#define STAGE_SIZE (16U << 10)

/* Blocks outside of the memory that are being read, or wait for who asked for them. */
#define ASKED_MAX BLOCK_CACHE_READ_MAX

/* Who asks for one more is told to wait, so that none goes while who asked for it comes round; but
 * if so many ask and nobody comes, those that are there are given up. */
#define ASKED_PATIENCE 4096

/* Blocks outside of the memory that nobody has pinned, and bytes of those of them that were had:
 * they stay because one read may need several, from its beginning each time that it waited. */
#define IDLE_MAX      (2 * ASKED_MAX)
#define IDLE_SIZE_MAX (UINT64_C(64) << 20)

enum chunk_state {
	CHUNK_FREE,
	CHUNK_READING,
	CHUNK_HERE,
	CHUNK_FAILED, /* 'result' says why, to who asks next */
};

/* The head of a chunk; the block is behind it. */
struct chunk {
	struct block_cached block;
	struct chunk *next; /* of the same hash */
	uint64_t file;      /* id */
	uint64_t offset;
	uint64_t size; /* of the chunk, this head included */
	uint32_t pins;
	int result;
	uint8_t state; /* enum chunk_state */
	bool used;     /* since the hand came by; outside: by who asked for it */
	bool outside;  /* of the memory: allocated by itself */
};
static_assert(sizeof(struct chunk) <= UNIT, "a head is one unit");

/* A read under way. */
struct read {
	struct io_op op;
	struct piece_place place;
	struct chunk *chunk; /* NULL: none is under way */
	uint32_t seed;
};

struct block_cache {
	struct io_queue *queue; /* owned */
	uint8_t *memory;        /* owned: 'stats.size' bytes */
	uint8_t *hand;
	struct chunk **buckets; /* owned */
	uint64_t bucket_mask;
	uint64_t next_id;
	ZSTD_DCtx *inflater; /* owned */
	uint8_t *stages;     /* owned, one a read */
	struct read reads[BLOCK_CACHE_READ_MAX];
	struct chunk *idle[IDLE_MAX]; /* the oldest first */
	uint32_t idle_count;
	uint64_t idle_size; /* of those that were used */
	uint32_t asked;     /* chunks outside that were not used */
	unsigned refused;   /* gets since one of them was */
	struct block_cache_stats stats;
};

static struct chunk *chunk_at(uint8_t *at)
{
	return (struct chunk *)(void *)at;
}

static uint8_t *chunk_end(struct chunk *chunk)
{
	return (uint8_t *)chunk + chunk->size;
}

static uint8_t *chunk_bytes(struct chunk *chunk)
{
	return (uint8_t *)chunk + UNIT;
}

static uint8_t *memory_end(const struct block_cache *cache)
{
	return cache->memory + cache->stats.size;
}

static struct chunk **bucket_of(const struct block_cache *cache, uint64_t file, uint64_t offset)
{
	uint64_t hash = hash_mix64(hash_mix64(file) + offset);

	return &cache->buckets[hash & cache->bucket_mask];
}

static struct chunk *find(const struct block_cache *cache, uint64_t file, uint64_t offset)
{
	struct chunk *chunk = *bucket_of(cache, file, offset);

	while (chunk && (chunk->offset != offset || chunk->file != file))
		chunk = chunk->next;
	return chunk;
}

static void forget(struct block_cache *cache, struct chunk *chunk)
{
	struct chunk **link = bucket_of(cache, chunk->file, chunk->offset);

	CHECK(chunk->pins == 0);
	while (*link != chunk)
		link = &(*link)->next;
	*link = chunk->next;
	chunk->state = CHUNK_FREE;
}

static void remember(struct block_cache *cache, struct chunk *chunk, uint64_t file, uint64_t offset)
{
	struct chunk **link = bucket_of(cache, file, offset);

	chunk->file = file;
	chunk->offset = offset;
	chunk->next = *link;
	*link = chunk;
}

static void free_chunk_init(uint8_t *at, uint64_t size)
{
	*chunk_at(at) = (struct chunk){.size = size, .state = CHUNK_FREE};
}

/* What is behind the first 'size' bytes becomes a free chunk. Returns where it begins. */
static uint8_t *cut(struct chunk *chunk, uint64_t size)
{
	if (chunk->size > size) {
		free_chunk_init((uint8_t *)chunk + size, chunk->size - size);
		chunk->size = size;
	}
	return chunk_end(chunk);
}

/* Whether the hand may take the chunk, which then is free. */
static bool yields(struct block_cache *cache, struct chunk *chunk, unsigned *patience)
{
	if (chunk->state == CHUNK_FREE)
		return true;
	if (chunk->pins > 0 || chunk->state == CHUNK_READING)
		return false;
	if (chunk->used && *patience > 0) {
		chunk->used = false;
		--*patience;
		return false;
	}
	forget(cache, chunk);
	cache->stats.evicted++;
	return true;
}

/* A free chunk for 'room' bytes, or NULL. */
static struct chunk *take_chunk(struct block_cache *cache, uint64_t room)
{
	uint64_t need = align_up(UNIT + room, UNIT), passed = 0;
	unsigned patience = PATIENCE;
	struct chunk *run = NULL;

	while (passed < 2 * cache->stats.size) {
		struct chunk *chunk;

		if (cache->hand == memory_end(cache)) {
			cache->hand = cache->memory;
			run = NULL;
		}
		chunk = chunk_at(cache->hand);
		passed += chunk->size;
		cache->hand = chunk_end(chunk);
		if (!yields(cache, chunk, &patience)) {
			run = NULL;
			continue;
		}
		if (run)
			run->size += chunk->size;
		else
			run = chunk;
		if (run->size >= need) {
			cache->hand = cut(run, need);
			return run;
		}
	}
	return NULL;
}

static struct chunk *outside_new(struct block_cache *cache, uint64_t room)
{
	uint64_t size = align_up(UNIT + room, UNIT);
	struct chunk *chunk = aligned_alloc(UNIT, size);

	if (!chunk)
		return NULL;
	*chunk = (struct chunk){.size = size, .outside = true};
	cache->stats.outside += size;
	cache->asked++;
	return chunk;
}

static void idle_remove(struct block_cache *cache, const struct chunk *chunk)
{
	uint32_t index = 0;

	while (index < cache->idle_count && cache->idle[index] != chunk)
		index++;
	if (index == cache->idle_count)
		return;
	cache->idle_size -= chunk->used ? chunk->size : 0;
	memmove(&cache->idle[index], &cache->idle[index + 1],
		(--cache->idle_count - index) * sizeof(struct chunk *));
}

/* The block is in the cache no more. */
static void drop(struct block_cache *cache, struct chunk *chunk)
{
	forget(cache, chunk);
	if (!chunk->outside)
		return;
	idle_remove(cache, chunk);
	cache->asked -= !chunk->used;
	cache->stats.outside -= chunk->size;
	free(chunk);
}

static void drop_oldest_used(struct block_cache *cache)
{
	uint32_t index = 0;

	while (!cache->idle[index]->used)
		index++;
	drop(cache, cache->idle[index]);
}

/* Fewer than half of the places are for chunks that weren't used. */
static void idle_add(struct block_cache *cache, struct chunk *chunk)
{
	CHECK(cache->asked <= ASKED_MAX);
	cache->idle[cache->idle_count++] = chunk;
	cache->idle_size += chunk->used ? chunk->size : 0;
	while (cache->idle_size > IDLE_SIZE_MAX || cache->idle_count == IDLE_MAX)
		drop_oldest_used(cache);
}

/* Somebody has the chunk, which is outside. */
static void claim(struct block_cache *cache, struct chunk *chunk)
{
	if (chunk->pins == 0)
		idle_remove(cache, chunk);
	if (chunk->used)
		return;
	chunk->used = true;
	cache->asked--;
	cache->refused = 0;
}

/* Whether one more chunk outside may be asked for. */
static bool may_ask(struct block_cache *cache)
{
	uint32_t index = 0;

	if (cache->asked < ASKED_MAX)
		return true;
	if (++cache->refused < ASKED_PATIENCE)
		return false;
	cache->refused = 0;
	while (index < cache->idle_count) {
		if (cache->idle[index]->used)
			index++;
		else
			drop(cache, cache->idle[index]);
	}
	return cache->asked < ASKED_MAX;
}

static struct read *free_read(struct block_cache *cache)
{
	for (unsigned i = 0; i < BLOCK_CACHE_READ_MAX; i++)
		if (!cache->reads[i].chunk)
			return &cache->reads[i];
	return NULL;
}

static bool is_staged(struct piece_place place)
{
	return piece_is_compressed(place) && place.size + PIECE_CRC_SIZE <= STAGE_SIZE;
}

/* Bytes that a block takes while it is read. */
static uint64_t room_of(struct piece_place place)
{
	return is_staged(place) ? place.raw_size : piece_room(place);
}

/* Where a read's bytes go, as they lie in the file. */
static uint8_t *target_of(const struct block_cache *cache, const struct read *read)
{
	if (is_staged(read->place))
		return cache->stages + (size_t)(read - cache->reads) * STAGE_SIZE;
	return piece_target(read->place, chunk_bytes(read->chunk));
}

/* Has 'read' and its chunk stand for the block. */
static void begin(struct block_cache *cache, struct read *read, const struct block_cache_file *file,
		  struct piece_place place, struct chunk *chunk)
{
	chunk->state = CHUNK_READING;
	chunk->pins = 0;
	chunk->used = false;
	chunk->block = (struct block_cached){chunk_bytes(chunk), place.raw_size};
	remember(cache, chunk, file->id, place.offset);
	read->chunk = chunk;
	read->place = place;
	read->seed = file->seed;
	read->op = (struct io_op){
		.file = file->file,
		.bytes = target_of(cache, read),
		.offset = place.offset,
		.size = place.size + PIECE_CRC_SIZE,
		.kind = IO_READ,
		.context = read,
	};
	cache->stats.misses++;
	cache->stats.reads++;
}

static int check_read(struct block_cache *cache, const struct read *read, int result)
{
	struct piece_place place = read->place;
	const uint8_t *bytes = read->op.bytes;

	if (result == IO_E_END)
		return BLOCK_CACHE_E_END;
	if (result)
		return result;
	if (!piece_is_good(read->seed, place, bytes))
		return BLOCK_CACHE_E_CORRUPT;
	if (piece_is_compressed(place) &&
	    piece_inflate(place, cache->inflater, bytes, chunk_bytes(read->chunk)))
		return BLOCK_CACHE_E_CORRUPT;
	return 0;
}

/* The read ended, as 'result' says. The hand spares the block once, for who asked for it. */
static void finish(struct block_cache *cache, struct read *read, int result)
{
	struct chunk *chunk = read->chunk;

	chunk->result = check_read(cache, read, result);
	chunk->state = chunk->result ? CHUNK_FAILED : CHUNK_HERE;
	chunk->used = !chunk->outside;
	if (!chunk->outside && !is_staged(read->place) && piece_is_compressed(read->place))
		(void)cut(chunk, align_up(UNIT + (uint64_t)read->place.raw_size, UNIT));
	read->chunk = NULL;
	cache->stats.reads--;
}

bool block_cache_poll(struct block_cache *cache)
{
	struct io_op *ops[BLOCK_CACHE_READ_MAX];
	uint32_t count;

	if (cache->stats.reads == 0)
		return false;
	count = io_queue_poll(cache->queue, ops, BLOCK_CACHE_READ_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct read *read = ops[i]->context;
		struct chunk *chunk = read->chunk;

		finish(cache, read, ops[i]->result);
		if (chunk->outside)
			idle_add(cache, chunk);
	}
	return count > 0;
}

/* Waits for the end of some read. One is under way. */
static void wait_for_any(struct block_cache *cache)
{
	while (!block_cache_poll(cache))
		io_queue_wait(cache->queue);
}

/* The error for who asks, once: the next one has it read again. */
static int take_failure(struct block_cache *cache, struct chunk *chunk)
{
	int result = chunk->result;

	drop(cache, chunk);
	return result;
}

/* Begins a read, and ends it unless 'wait_never'. A block that would fill half of the memory is not
 * for the cache; who can't wait gets it from memory of its own. */
static int read_block(struct block_cache *cache, const struct block_cache_file *file,
		      struct piece_place place, bool wait_never, bool *ret_missed,
		      struct chunk **ret_chunk)
{
	bool fits = room_of(place) < cache->stats.size / 2;
	struct read *read = free_read(cache);
	struct chunk *chunk = read && fits ? take_chunk(cache, room_of(place)) : NULL;
	int result;

	if (!read && wait_never)
		return BLOCK_CACHE_E_WAIT;
	if (!chunk) {
		cache->stats.full++;
		if (!wait_never)
			return BLOCK_CACHE_E_FULL;
		if (!may_ask(cache))
			return BLOCK_CACHE_E_WAIT;
		chunk = outside_new(cache, room_of(place));
		if (!chunk)
			return -ENOMEM;
	}
	begin(cache, read, file, place, chunk);
	*ret_missed = true;
	if (wait_never) {
		result = io_queue_submit(cache->queue, &read->op);
		CHECK(result <= 0); /* the queue has room for all reads */
		if (!result)
			return BLOCK_CACHE_E_WAIT;
	} else {
		result = io_read(file->file, read->op.offset, read->op.bytes, read->op.size);
	}
	finish(cache, read, result);
	if (chunk->state == CHUNK_FAILED)
		return take_failure(cache, chunk);
	*ret_chunk = chunk;
	return 0;
}

/* What stands in the table for the block is brought to an end: here, or an error. */
static int settle(struct block_cache *cache, struct chunk *chunk, bool wait_never)
{
	while (chunk->state == CHUNK_READING) {
		if (wait_never)
			return BLOCK_CACHE_E_WAIT;
		wait_for_any(cache);
	}
	return chunk->state == CHUNK_FAILED ? take_failure(cache, chunk) : 0;
}

int block_cache_get(struct block_cache *cache, const struct block_cache_file *file,
		    struct piece_place place, bool wait_never, bool *ret_missed,
		    struct block_cached **ret_block)
{
	struct chunk *chunk = find(cache, file->id, place.offset);
	int result;

	*ret_missed = false;
	if (chunk)
		result = settle(cache, chunk, wait_never);
	else
		result = read_block(cache, file, place, wait_never, ret_missed, &chunk);
	if (result)
		return result;
	if (chunk->outside)
		claim(cache, chunk);
	cache->stats.hits += !*ret_missed;
	cache->stats.pinned += chunk->pins == 0;
	chunk->pins++;
	chunk->used = chunk->outside || !*ret_missed;
	*ret_block = &chunk->block;
	return 0;
}

void block_cache_put(struct block_cache *cache, struct block_cached *block)
{
	struct chunk *chunk = CONTAINER_OF(block, struct chunk, block);

	CHECK(chunk->pins > 0);
	chunk->pins--;
	cache->stats.pinned -= chunk->pins == 0;
	if (chunk->pins == 0 && chunk->outside)
		idle_add(cache, chunk);
}

uint64_t block_cache_id(struct block_cache *cache)
{
	return cache->next_id++;
}

bool block_cache_is_read(const struct block_cache *cache, uint64_t id)
{
	for (unsigned i = 0; i < BLOCK_CACHE_READ_MAX; i++)
		if (cache->reads[i].chunk && cache->reads[i].chunk->file == id)
			return true;
	return false;
}

void block_cache_leave(struct block_cache *cache, uint64_t id)
{
	while (block_cache_is_read(cache, id))
		wait_for_any(cache);
}

static int take_memory(struct block_cache *cache)
{
	uint64_t size = cache->stats.size, buckets = 1;

	while (buckets < size / 4096)
		buckets *= 2;
	cache->bucket_mask = buckets - 1;
	cache->buckets = calloc(buckets, sizeof(struct chunk *));
	cache->memory = aligned_alloc(MEMORY_ALIGN, align_up(size, MEMORY_ALIGN));
	cache->stages = malloc((size_t)BLOCK_CACHE_READ_MAX * STAGE_SIZE);
	cache->inflater = ZSTD_createDCtx();
	if (!cache->buckets || !cache->memory || !cache->stages || !cache->inflater)
		return -ENOMEM;
	/* Without huge pages it is only slower. */
	(void)madvise(cache->memory, size, MADV_HUGEPAGE);
	free_chunk_init(cache->memory, size);
	cache->hand = cache->memory;
	return 0;
}

int block_cache_new(struct io *io, uint64_t size, struct block_cache **ret_cache)
{
	struct block_cache *cache;
	int result;

	if (size < BLOCK_CACHE_SIZE_MIN)
		return -EINVAL;
	cache = calloc(1, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	cache->stats.size = size & ~(uint64_t)(UNIT - 1);
	result = take_memory(cache);
	if (!result)
		result = io_queue_new(io, BLOCK_CACHE_READ_MAX, &cache->queue);
	if (result) {
		block_cache_free(cache);
		return result;
	}
	*ret_cache = cache;
	return 0;
}

void block_cache_free(struct block_cache *cache)
{
	if (!cache)
		return;
	CHECK(cache->stats.pinned == 0);
	while (cache->stats.reads > 0)
		wait_for_any(cache);
	while (cache->idle_count > 0)
		drop(cache, cache->idle[0]);
	io_queue_free(cache->queue);
	ZSTD_freeDCtx(cache->inflater);
	free(cache->stages);
	free(cache->memory);
	free(cache->buckets);
	free(cache);
}

void *block_cache_inflater(struct block_cache *cache)
{
	return cache->inflater;
}

struct block_cache_stats block_cache_stats(const struct block_cache *cache)
{
	return cache->stats;
}
