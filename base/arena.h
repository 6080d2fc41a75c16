/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Arena - one mapping, taken at start and cut up once
 *
 * A core's memory comes from one arena, which is one memory (base/memory.h): in
 * huge pages if there are any, on the core's NUMA node, all its pages there before
 * the arena is handed out. What can't be had is done without, and the
 * memory's note says why and what would mend it; start-up code prints it.
 *
 * Nothing is ever given back to an arena; objects that come and go live in a
 * pool (base/pool.h) that lies in one.
 *
 * Threads: one at a time, before "ready".
 */

#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>

struct arena {
	struct memory memory;
	size_t used;
};

/* Takes the memory, which is zero. The caller owns '*ret_arena'. Returns what memory_init() does.
 */
int arena_init(const struct memory_options *options, struct arena *ret_arena);

/* Unmaps it. Everything taken from it is gone. A zeroed arena is fine. */
void arena_deinit(struct arena *arena);

/*
 * Takes 'size' bytes, zero, at a multiple of 'align' (a power of two, at most
 * 4096). They last as long as the arena.
 *
 * Returns NULL when the arena has no more room.
 */
void *arena_take(struct arena *arena, size_t size, size_t align);

static inline size_t arena_room(const struct arena *arena)
{
	return arena->memory.size - arena->used;
}
