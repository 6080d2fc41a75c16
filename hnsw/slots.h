/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Slots - node numbers found by a hash of what they hold
 *
 * Open addressing, never more than half full, nothing is ever taken out. What a
 * node holds is the caller's to compare:
 *
 *      for (at = slots_first(&slots, hash); slots_node(&slots, at, &node);
 *           at = slots_next(&slots, at))
 *              if (node is the one) ...
 *
 * and 'at' is then where a new node belongs. Empty slots are zero, so that fresh
 * pages are an empty table.
 *
 * Threads: slots belong to one thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct slots {
	uint32_t *words; /* borrows: slots_count() of them; a node's number plus one */
	uint32_t mask;
};

/* How many words a table of 'capacity' nodes needs: a power of two. */
static inline uint64_t slots_count(uint32_t capacity)
{
	uint64_t count = 4;

	while (count < 2 * (uint64_t)capacity)
		count *= 2;
	return count;
}

static inline uint32_t slots_first(const struct slots *slots, uint64_t hash)
{
	return (uint32_t)(hash >> 32) & slots->mask;
}

static inline uint32_t slots_next(const struct slots *slots, uint32_t at)
{
	return (at + 1) & slots->mask;
}

/* Which node is there? Returns false when the slot is empty. */
static inline bool slots_node(const struct slots *slots, uint32_t at, uint32_t *ret_node)
{
	if (slots->words[at] == 0)
		return false;
	*ret_node = slots->words[at] - 1;
	return true;
}

static inline void slots_put(struct slots *slots, uint32_t at, uint32_t node)
{
	slots->words[at] = node + 1;
}
