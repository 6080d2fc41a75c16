/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Arena - one mapping, taken at start and cut up once
 *
 * A core's memory comes from one arena: one mapping in huge pages if there are
 * any, bound to the core's NUMA node, all its pages touched before the arena is
 * handed out. What can't be had (huge pages, binding) is done without, and the
 * arena's note says why and what would mend it; start-up code prints it.
 *
 * Nothing is ever given back to an arena; objects that come and go live in a
 * pool (base/pool.h) that lies in one.
 *
 * Threads: one at a time, before "ready".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_HUGE_PAGE_SIZE (UINT64_C(2) << 20)

/* Bytes of an arena's note, final zero included. */
#define ARENA_NOTE_MAX 192

struct arena_options {
	size_t size;   /* bytes wanted; rounded up to whole pages */
	bool huge;     /* try huge pages first */
	int numa_node; /* -1: wherever the kernel likes */
};

struct arena {
	uint8_t *base;
	size_t size;
	size_t used;
	bool huge;                 /* in 2 MiB pages */
	char note[ARENA_NOTE_MAX]; /* "" when everything asked for was had */
};

/*
 * Maps and touches the memory, which is zero. The caller owns '*ret_arena'.
 *
 * Returns 0, -EINVAL (no size) or -ENOMEM.
 */
int arena_init(const struct arena_options *options, struct arena *ret_arena);

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
	return arena->size - arena->used;
}
