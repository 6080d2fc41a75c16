/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Growing_graph - the lists of a growing index, and how a node gets into them
 *
 * Between growing.c, which keeps vectors, labels, twins and times, and
 * growing_graph.c.
 *
 * Threads: the writer's.
 */

#include "hnsw/beam.h"
#include "hnsw/layout.h"
#include "hnsw/visited.h"

#include <stdint.h>

struct growing_graph {
	struct rows compared;    /* the vectors in the rows */
	struct rows_query query; /* a query but for its row and factors */
	uint32_t m;
	uint32_t ef;
	uint8_t *rows; /* borrowed; see layout.h */
	uint64_t row_stride;
	uint64_t vector_offset;
	uint8_t *upper; /* borrowed */
	uint64_t upper_stride;
	const uint8_t *levels;         /* of each node; borrowed */
	const uint32_t *first_records; /* of each node that has a level; borrowed */
	uint32_t *in_degrees;          /* lists at level 0 that a node is in; borrowed */

	/* Memory of the insertion under way. */
	struct visited visited;
	struct beam beam;
	uint64_t *keys; /* owned: ef of them, the beam's */
	uint64_t chosen[2 * SEGMENT_M_MAX];
	uint64_t merged[2 * SEGMENT_M_MAX + 1];
	uint32_t met[2 * SEGMENT_M_MAX];
};

/* Takes what an insertion needs; the borrowed members are set. Returns 0 or -ENOMEM. */
int growing_graph_init(struct growing_graph *graph, uint32_t capacity);
void growing_graph_deinit(struct growing_graph *graph);

/* Links 'node', whose vector, level and empty lists are written, to what 'entry' leads to. */
void growing_graph_link(struct growing_graph *graph, uint32_t node, uint32_t entry);
