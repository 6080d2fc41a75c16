/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Truth - exact nearest neighbours, by comparing with everything
 *
 * Sums in f64, ties by row. What recall is measured against.
 *
 * Threads: truth_compute() starts and joins its own workers.
 */

#include "base/metric.h"

#include <stdint.h>

struct truth_hit {
	uint32_t row;
	double distance;
};

struct truth_options {
	enum metric metric;
	uint32_t k;
	uint32_t threads;                                               /* 0: 1 */
	void (*progress)(void *context, uint64_t done, uint64_t total); /* may be NULL */
	void *context;
};

/*
 * Writes 'k' hits a query, nearest first, to 'hits' (query-major); rows missing
 * because base_count is less than k have row UINT32_MAX and distance infinity.
 *
 * Returns 0 or a negative errno (no memory, no thread).
 */
int truth_compute(const float *base, uint32_t base_count, const float *queries,
		  uint32_t query_count, uint32_t dim, const struct truth_options *options,
		  struct truth_hit *hits);

/* Distance of two vectors in f64, as base/metric.h has it. */
double truth_distance(enum metric metric, const float *a, const float *b, uint32_t dim);
