/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Ours_growing - Tern's growing index, for comparing insertions
 *
 * Threads: one.
 */

#include "base/metric.h"

#include <stdint.h>

struct ours_growing;

struct ours_growing_options {
	enum metric metric;
	uint32_t dim, capacity, m, ef_construction;
};

/* NULL when there is no memory for it. */
struct ours_growing *ours_growing_new(const struct ours_growing_options *options);
void ours_growing_free(struct ours_growing *ours);

/* Inserts 'count' rows of f32 under the labels from 'first' on. Returns 0, or 1. */
int ours_growing_insert(struct ours_growing *ours, const float *rows, uint32_t first,
			uint32_t count);
