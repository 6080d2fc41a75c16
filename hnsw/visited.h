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
