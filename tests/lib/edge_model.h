/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Edge model - random changes of a graph, and what it should hold after them
 *
 *	struct edge_key edge;
 *	bool added = edge_model_change(&model, &edge);
 *	... edge_add() or edge_remove() ...
 *	edge_model_compare(&model, pager);
 *
 * A copy of the struct is the state of a moment: for rollbacks and crashes. Some nodes have many
 * edges, most have few; ids are the extremes, some about 0, and others from the whole range. Equal
 * seeds make equal changes.
 *
 * Threads: one.
 */

#include "base/rand.h"
#include "engine/keys.h"
#include "engine/pager.h"

#include <stdbool.h>
#include <stdint.h>

#define EDGE_MODEL_NODES 64

struct edge_model {
	struct rand rand;
	uint32_t order[EDGE_MODEL_NODES][EDGE_MODEL_NODES]; /* in which it was added; 0: none */
	uint32_t next;
	uint32_t count;
	uint32_t others; /* edges of other nodes that the test added itself */
};

void edge_model_init(struct edge_model *model, uint64_t seed);

int64_t edge_model_id(uint32_t node);

/* Adds an edge (true) or removes one, of which there are more adds until the graph is half full. */
bool edge_model_change(struct edge_model *model, struct edge_key *ret_edge);

/* Fails the test unless the pager's graph is this one: every edge, every node's neighbours in both
 * directions in their order, degrees and the count. Reads rows in pieces of random size. Polls
 * where the pager does; the log is durable then. */
void edge_model_compare(struct edge_model *model, struct pager *pager);
