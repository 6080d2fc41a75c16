/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Truth hits - the nearest so far, and cosine distance, for both ways of exact search
 *
 * Threads: any.
 */

#include "hnsw/truth.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

static inline double truth_cosine(double product, double norm_a, double norm_b)
{
	return norm_a > 0 && norm_b > 0 ? 1 - product / (norm_a * norm_b) : 1;
}

static inline void truth_hits_clear(struct truth_hit *hits, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		hits[i] = (struct truth_hit){UINT32_MAX, INFINITY};
}

static inline bool truth_hit_before(const struct truth_hit *a, const struct truth_hit *b)
{
	return a->distance < b->distance || (a->distance == b->distance && a->row < b->row);
}

/* Insertion into the sorted hits: nearly every row falls off at the first comparison. */
static inline void truth_hits_offer(struct truth_hit *hits, uint32_t k, struct truth_hit hit)
{
	uint32_t at = k - 1;

	if (!truth_hit_before(&hit, &hits[at]))
		return;
	for (; at > 0 && truth_hit_before(&hit, &hits[at - 1]); at--)
		hits[at] = hits[at - 1];
	hits[at] = hit;
}
