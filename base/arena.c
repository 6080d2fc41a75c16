/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/check.h"
#include "base/defs.h"

int arena_init(const struct memory_options *options, struct arena *ret_arena)
{
	struct arena arena = {0};
	int error = memory_init(options, &arena.memory);

	if (error)
		return error;
	*ret_arena = arena;
	return 0;
}

void arena_deinit(struct arena *arena)
{
	memory_deinit(&arena->memory);
	arena->used = 0;
}

void *arena_take(struct arena *arena, size_t size, size_t align)
{
	size_t offset = align_up(arena->used, align);

	CHECK(align > 0 && (align & (align - 1)) == 0 && align <= 4096);
	if (offset > arena->memory.size || size > arena->memory.size - offset)
		return NULL;
	arena->used = offset + size;
	return arena->memory.start + offset;
}
