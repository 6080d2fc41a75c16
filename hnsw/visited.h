/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Visited - the nodes that a search has met
 *
 * One bit a node, so that the sets of many interleaved searches stay in the
 * second-level cache together (a generation number a node would take 16 times
 * the space). Nodes met are listed too, and clearing undoes only those; past
 * VISITED_LISTED_MAX of them the whole set is cleared.
 *
 * Threads: a set belongs to one thread.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* More than nearly every search meets; beyond it clearing everything is as cheap. */
#define VISITED_LISTED_MAX 16384

struct visited {
	uint64_t *words;  /* owned */
	uint32_t *listed; /* owned: the index of a word, once for each bit set in it */
	uint32_t listed_count;
	uint32_t node_max;
};

static inline size_t visited_words(uint32_t node_max)
{
	return (size_t)node_max / 64 + 1;
}

static inline void visited_deinit(struct visited *visited)
{
	free(visited->words);
	free(visited->listed);
	*visited = (struct visited){0};
}

/* Returns 0 or -ENOMEM. */
static inline int visited_init(struct visited *visited, uint32_t node_max)
{
	visited->words = calloc(visited_words(node_max), sizeof(visited->words[0]));
	visited->listed = malloc(VISITED_LISTED_MAX * sizeof(visited->listed[0]));
	visited->listed_count = 0;
	visited->node_max = node_max;
	if (visited->words && visited->listed)
		return 0;
	visited_deinit(visited);
	return -ENOMEM;
}

/* Bytes that visited_init() takes. */
static inline uint64_t visited_memory(uint32_t node_max)
{
	return visited_words(node_max) * sizeof(uint64_t) + VISITED_LISTED_MAX * sizeof(uint32_t);
}

static inline void visited_clear(struct visited *visited)
{
	if (visited->listed_count > VISITED_LISTED_MAX)
		memset(visited->words, 0,
		       visited_words(visited->node_max) * sizeof(visited->words[0]));
	else
		for (uint32_t i = 0; i < visited->listed_count; i++)
			visited->words[visited->listed[i]] = 0;
	visited->listed_count = 0;
}

static inline bool visited_has(const struct visited *visited, uint32_t node)
{
	return visited->words[node / 64] >> node % 64 & 1;
}

/* Adds the node. Returns true when it was not there. */
static inline bool visited_add(struct visited *visited, uint32_t node)
{
	uint64_t bit = UINT64_C(1) << node % 64;

	if (visited->words[node / 64] & bit)
		return false;
	visited->words[node / 64] |= bit;
	if (visited->listed_count < VISITED_LISTED_MAX)
		visited->listed[visited->listed_count] = node / 64;
	if (visited->listed_count <= VISITED_LISTED_MAX)
		visited->listed_count++;
	return true;
}

/*
 * Of a list's up to 'count' nodes, which end at UINT32_MAX, writes those below 'end' that were not
 * there to 'ret_met' (room for 'count'), in order, and adds them. Returns how many.
 *
 * Without branches: which of a list's nodes are new can't be foreseen, and a
 * wrong guess costs more than all of this does for a node.
 */
static inline uint32_t visited_meet(struct visited *visited, const uint32_t *nodes, uint32_t count,
				    uint32_t end, uint32_t *ret_met)
{
	uint32_t spare[2]; /* where indexes go when no more are listed */
	bool listing = visited->listed_count + count <= VISITED_LISTED_MAX;
	uint32_t *listed = listing ? visited->listed + visited->listed_count : spare;
	uint32_t met = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t node = __atomic_load_n(&nodes[i], __ATOMIC_RELAXED);
		bool inside = node < end;
		uint64_t bits, bit;
		uint32_t word;

		if (node == UINT32_MAX)
			break;
		word = inside ? node / 64 : 0;
		bits = visited->words[word];
		bit = (uint64_t)inside << node % 64;
		ret_met[met] = node;
		listed[listing ? met : 0] = word;
		visited->words[word] = bits | bit;
		met += (bit & ~bits) != 0;
	}
	visited->listed_count = listing ? visited->listed_count + met : VISITED_LISTED_MAX + 1;
	return met;
}
