/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tune - the efs that reach some recalls
 *
 * Searches a sample of the segment's own rows against exact answers, with growing ef.
 * Each is passed over in its own search, as its links would lead to its neighbours: with
 * them, rows of 100,000 text vectors were found at 0.975 where other queries were at 0.86;
 * without, other queries are at 0.966 to 0.981 where rows are at 0.95.
 *
 * Before the graph is built, the same sample tells whether compact rows keep near
 * vectors apart. Where they don't (vectors much nearer to each other than to the
 * mean, or one vector so far out that the mean is nowhere near the others) the
 * graph would be made of guesses.
 *
 * Threads: one caller; the workers share the work.
 */

#include "hnsw/segment.h"
#include "hnsw/workers.h"

#include <stdbool.h>

/* What is tried, at most; a graph that needs more than this is searched with it. */
#define TUNE_EF_MAX 1024

/* What searches with a small ef hold: order within it is put right by comparing exactly. */
#define TUNE_ORDER_NEAR 24

struct tune_result {
	uint32_t ef; /* for 'recall_target' */
	double hops; /* of a search with it */
	double distances;
	uint32_t ef_tuned[SEGMENT_RECALL_COUNT]; /* for segment_recalls */
	float row_error; /* of distances from compact rows: 99 of 100 near ones are within it */
};

/* Returns 0 or -ENOMEM. Depends on the segment, the target and the seed alone. */
int tune_segment(struct segment *segment, float recall_target, uint64_t seed,
		 struct workers *workers, struct tune_result *ret_result);

/* Bytes that it takes meanwhile, at most, with that many workers. */
uint64_t tune_memory(uint32_t count, uint32_t dim, uint32_t threads);

/*
 * Are the 10 nearest by the vectors themselves among the TUNE_ORDER_NEAR nearest by
 * compact rows, nearly always? Of the segment only rows and vectors are looked at.
 *
 * Returns 0 or -ENOMEM. Depends on the segment and the seed alone.
 */
int tune_order(const struct segment *segment, uint64_t seed, struct workers *workers,
	       bool *ret_kept);
