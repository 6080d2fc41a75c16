/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/session_pool.h"

#include "base/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define POOL_LARGE_SIZE    (UINT32_C(16) << 10)
#define POOL_LARGE_GROWTH  8
#define POOL_FRAMES_FACTOR 8

static void pool_plan(struct session_pool *pool, uint32_t size, uint32_t count)
{
	struct session_pool_class *class = &pool->classes[pool->class_count++];

	CHECK(pool->class_count <= SESSION_POOL_CLASS_MAX);
	class->size = (uint32_t)align_up(size, CACHE_LINE);
	class->count = count;
}

static int pool_fill(struct session_pool_class *class, uint8_t *base)
{
	class->base = base;
	class->stack = malloc(class->count * sizeof(*class->stack));
	if (!class->stack)
		return -ENOMEM;
	/* The lowest address on top: a pool that is little used touches little memory. */
	for (uint32_t i = 0; i < class->count; i++)
		class->stack[class->count - 1 - i] = base + (size_t)i * class->size;
	class->free_count = class->count;
	return 0;
}

int session_pool_init(struct session_pool *pool, uint32_t frame_body_size,
		      uint32_t message_size_max, uint32_t large_count)
{
	uint32_t size = POOL_LARGE_SIZE;
	size_t total = 0;

	*pool = (struct session_pool){0};
	if (!large_count)
		return 0;
	pool_plan(pool, frame_body_size, large_count * POOL_FRAMES_FACTOR);
	for (; size < message_size_max; size *= POOL_LARGE_GROWTH, large_count /= 2)
		pool_plan(pool, size, MAX(large_count, 2));
	pool_plan(pool, MAX(message_size_max, frame_body_size), MAX(large_count, 2));

	for (uint32_t i = 0; i < pool->class_count; i++)
		total += (size_t)pool->classes[i].size * pool->classes[i].count;
	pool->arena = aligned_alloc(CACHE_LINE, total);
	if (!pool->arena)
		return -ENOMEM;
	total = 0;
	for (uint32_t i = 0; i < pool->class_count; i++) {
		struct session_pool_class *class = &pool->classes[i];

		if (pool_fill(class, pool->arena + total))
			return -ENOMEM;
		total += (size_t) class->size * class->count;
	}
	return 0;
}

void session_pool_deinit(struct session_pool *pool)
{
	for (uint32_t i = 0; i < pool->class_count; i++)
		free(pool->classes[i].stack);
	free(pool->arena);
	*pool = (struct session_pool){0};
}

uint8_t *session_pool_get(struct session_pool *pool, uint32_t size)
{
	for (uint32_t i = 0; i < pool->class_count; i++) {
		struct session_pool_class *class = &pool->classes[i];

		if (class->size >= size && class->free_count)
			return class->stack[--class->free_count];
	}
	return NULL;
}

static bool class_holds(const struct session_pool_class *class, const uint8_t *buffer)
{
	return buffer >= class->base && buffer < class->base + (size_t) class->size * class->count;
}

void session_pool_put(struct session_pool *pool, uint8_t *buffer)
{
	if (!buffer)
		return;
	for (uint32_t i = 0; i < pool->class_count; i++) {
		struct session_pool_class *class = &pool->classes[i];

		if (!class_holds(class, buffer))
			continue;
		CHECK(class->free_count < class->count);
		class->stack[class->free_count++] = buffer;
		return;
	}
	CHECK(false); /* it is no buffer of the pool */
}

uint32_t session_pool_used(const struct session_pool *pool)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < pool->class_count; i++)
		used += pool->classes[i].count - pool->classes[i].free_count;
	return used;
}
