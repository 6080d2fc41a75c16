/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Graph - the neighbours of an image that is being built
 *
 * Nodes are inserted in batches. The nodes of a batch look for their neighbours
 * in the graph as it was when the batch began, each on its own, in parallel;
 * then the links back to them are added, target by target, in parallel too. A
 * search sees only what the batch before has left and a target's new links come
 * in a fixed order, so the number of threads changes nothing (the idea of
 * ParlayANN, arXiv 2305.04359). Batches grow with the graph, so that a node
 * misses few others.
 *
 * Threads: one caller; the graph's workers are its own.
 */

#include "hnsw/beam_insert.h"
#include "hnsw/dist.h"
#include "hnsw/layout.h"
#include "hnsw/workers.h"

#include <stdint.h>

/*
 * Lists of fewer than this part of m links are filled up. Half of m takes recall at 10 of
 * 100,000 word vectors from 0.9980 to 0.9996 at ef 1024, and to 0.99 with a fifth
 * fewer distances; with all of m the walks near 0.95 get dearer.
 */
#define GRAPH_LEAST_PART 2

/* One way to compare two nodes. */
struct graph_space {
	struct rows rows;
	struct rows_query query; /* what queries have in common */
	uint32_t ahead;          /* rows to ask for before the one that is being compared */
};

struct graph {
	struct segment view; /* of the image being built; lists and entry change */
	uint8_t *rows;       /* view.rows, writable */
	uint8_t *upper;      /* view.upper, writable */
	/* The next three are filled in by graph_link(). */
	beam_insert_fn insert;
	struct graph_space compared; /* by what rows hold */
	struct graph_space exact;    /* by the vectors themselves */
	uint32_t ef;
	const uint8_t *levels;         /* of each node; borrowed */
	const uint32_t *first_records; /* of each node that has a level; borrowed */
	struct workers *workers;       /* borrowed */
};

/*
 * Links 'count' nodes, in this order. The lists are all empty at first. Calls
 * 'progress' (may be NULL) between batches.
 *
 * Returns 0 or -ENOMEM.
 */
int graph_link(struct graph *graph, const uint32_t *nodes, uint32_t count,
	       void (*progress)(void *context, uint64_t done, uint64_t total), void *context);

/* Bytes that it takes meanwhile, at most, with that many workers. */
uint64_t graph_memory(const struct layout_shape *shape, uint32_t ef, uint32_t threads);
