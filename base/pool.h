/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pool - objects of one size that come and go without the heap
 *
 * All objects lie side by side in an arena, and each has an index for ever, so
 * that the wire or a table can name it in 32 bits. The free ones are a stack:
 * what was put last is got first, while it is still in the cache.
 *
 * Threads: a pool belongs to one thread at a time.
 */

#include "base/arena.h"
#include "base/check.h"

#include <stddef.h>
#include <stdint.h>

struct pool {
	uint8_t *objects;
	uint32_t *free; /* stack of indexes */
	uint8_t *taken; /* by index, debug builds only: finds what is put twice */
	size_t stride;  /* bytes from one object to the next */
	uint32_t count;
	uint32_t free_count;
};

/* Bytes that pool_init() takes from an arena at most. */
size_t pool_size(size_t object_size, size_t align, uint32_t count);

/*
 * Makes 'count' objects of 'object_size' bytes, each at a multiple of 'align'
 * (a power of two). Borrows the arena's memory as long as the pool is used.
 *
 * Returns 0, or -ENOMEM when the arena has no room.
 */
int pool_init(struct pool *pool, struct arena *arena, size_t object_size, size_t align,
	      uint32_t count);

static inline void *pool_at(const struct pool *pool, uint32_t index)
{
	DCHECK(index < pool->count);
	return pool->objects + (size_t)index * pool->stride;
}

static inline uint32_t pool_index(const struct pool *pool, const void *object)
{
	size_t offset = (size_t)((const uint8_t *)object - pool->objects);

	DCHECK(offset % pool->stride == 0 && offset / pool->stride < pool->count);
	return (uint32_t)(offset / pool->stride);
}

/* An object as its last owner left it (zero at first); NULL when all are out. */
static inline void *pool_get(struct pool *pool)
{
	uint32_t index;

	if (pool->free_count == 0)
		return NULL;
	index = pool->free[--pool->free_count];
#ifdef TERN_DEBUG
	pool->taken[index] = 1;
#endif
	return pool_at(pool, index);
}

/* Takes back an object that pool_get() handed out. */
static inline void pool_put(struct pool *pool, void *object)
{
	uint32_t index = pool_index(pool, object);

	DCHECK(pool->free_count < pool->count && pool->taken[index]);
#ifdef TERN_DEBUG
	pool->taken[index] = 0;
#endif
	pool->free[pool->free_count++] = index;
}

static inline uint32_t pool_free_count(const struct pool *pool)
{
	return pool->free_count;
}
