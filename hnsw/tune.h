/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Tune - the efs that reach some recalls
 *
 * Searches a sample of the segment's own rows, each without itself, against
 * exact answers, with growing ef. Rows of the index are easier to find
 * neighbours of than other queries, so half of the permitted error is aimed at.
 *
 * Threads: one caller; the workers share the work.
 */

#include "hnsw/segment.h"
#include "hnsw/workers.h"

/* What is tried, at most; a graph that needs more than this is searched with it. */
#define TUNE_EF_MAX 1024

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
