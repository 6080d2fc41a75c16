/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bench_index - what `tern bench ann` searches: one segment, or all of a folder's
 *
 * A lane runs one query at a time through all segments, one after the other, and
 * merges their hits; it stops wherever the search machine stops for memory, so
 * that its owner can run other lanes meanwhile.
 *
 * Threads: an open index can be read by any; a lane belongs to one thread.
 */

#include "hnsw/build.h"
#include "hnsw/search.h"
#include "hnsw/segment.h"

#include <stdbool.h>
#include <stdint.h>

struct bench_index {
	struct segment *segments; /* owned */
	uint32_t segment_count;
	uint64_t vector_count;
	uint64_t size; /* bytes of all segments */
	void *image;   /* owned: the segment that was built here; NULL for a folder */
	uint64_t image_size;
};

/*
 * Builds one segment over all rows. Returns CMD_DONE, or CMD_FAILED and a line is
 * printed.
 */
int bench_index_build(const float *rows, uint32_t count, uint32_t dim,
		      const struct build_options *options, struct bench_index *ret_index);

/* Opens the segments of the collection in 'folder', which must be of that shape. The same. */
int bench_index_open(const char *folder, uint32_t count, uint32_t dim, enum metric metric,
		     struct bench_index *ret_index);
void bench_index_close(struct bench_index *index);

struct bench_lane;

/* A lane for answers of up to 'k_max' hits. Borrows the index. Returns 0 or a negative errno. */
int bench_lane_new(const struct bench_index *index, uint32_t k_max, uint32_t ef_max,
		   struct bench_lane **ret_lane);
void bench_lane_free(struct bench_lane *lane);

/* 'params' has k, ef and patience. */
void bench_lane_begin(struct bench_lane *lane, const float *query,
		      const struct search_params *params);

/* Goes on until memory is waited for. Returns true when the query is answered. */
bool bench_lane_step(struct bench_lane *lane);

/* What the lane's queries have cost since it is there. */
struct search_stats bench_lane_stats(const struct bench_lane *lane);

/* The hits of an answered query, nearest first. Returns how many, at most 'k_max'. */
uint32_t bench_lane_hits(const struct bench_lane *lane, struct search_hit *hits);
