/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ours - Tern as one of the peers: the one place that knows hnsw's interface
 *
 * Threads: one.
 */

#include "perf/peers/set.h"

#include <stdint.h>

struct ours;

struct ours_options {
	uint32_t m, ef_construction, threads;
	uint32_t ef_max;    /* the largest that will be searched with */
	uint32_t in_flight; /* queries under way at a time, at most */
};

/* Builds an index over the set's base, which it borrows only meanwhile. Returns 0, or says why. */
int ours_build(const struct set *set, const struct ours_options *options, struct ours **ret_ours);
void ours_free(struct ours *ours);

/* Bytes of the index's image. */
uint64_t ours_size(const struct ours *ours);

/*
 * Asks 'count' queries and writes k labels each (-1: not found). With 'in_flight'
 * of 1 one after the other; else each is replaced by the next when it is answered,
 * as `tern bench ann --in-flight` does.
 */
struct ours_params {
	uint32_t count, k, ef, in_flight;
};

void ours_search(struct ours *ours, const float *queries, const struct ours_params *params,
		 int32_t *labels);
