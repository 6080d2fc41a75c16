/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include "base/defs.h"

#include <errno.h>

size_t pool_size(size_t object_size, size_t align, uint32_t count)
{
	size_t stride = align_up(object_size, align);

	/* Either array may have to skip some bytes to its alignment. */
	return (stride + sizeof(uint32_t) + 1) * count + align + sizeof(uint32_t);
}

int pool_init(struct pool *pool, struct arena *arena, size_t object_size, size_t align,
	      uint32_t count)
{
	size_t stride = align_up(object_size, align);
	size_t size;

	CHECK(object_size > 0);
	if (__builtin_mul_overflow(stride, count, &size))
		return -ENOMEM;
	*pool = (struct pool){.stride = stride, .count = count, .free_count = count};
	pool->objects = arena_take(arena, size, align);
	pool->free = arena_take(arena, sizeof(*pool->free) * count, _Alignof(uint32_t));
	pool->taken = arena_take(arena, count, 1);
	if (!pool->objects || !pool->free || !pool->taken)
		return -ENOMEM;
	/* Lowest index on top: a pool that is little used touches little memory. */
	for (uint32_t i = 0; i < count; i++)
		pool->free[i] = count - 1 - i;
	return 0;
}
