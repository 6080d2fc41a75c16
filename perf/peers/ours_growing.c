/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/peers/ours_growing.h"

#include "hnsw/growing.h"

#include <stdlib.h>

struct ours_growing {
	struct growing *growing;
	uint32_t dim;
};

struct ours_growing *ours_growing_new(const struct ours_growing_options *options)
{
	const struct growing_options filled = {
		.metric = options->metric,
		.dim = options->dim,
		.capacity = options->capacity,
		.m = options->m,
		.ef_construction = options->ef_construction,
		.seed = 1,
	};
	struct ours_growing *ours = calloc(1, sizeof(*ours));

	if (!ours)
		return NULL;
	ours->dim = options->dim;
	if (!growing_new(&filled, &ours->growing))
		return ours;
	free(ours);
	return NULL;
}

void ours_growing_free(struct ours_growing *ours)
{
	if (!ours)
		return;
	growing_free(ours->growing);
	free(ours);
}

int ours_growing_insert(struct ours_growing *ours, const float *rows, uint32_t first,
			uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t node;

		if (growing_insert(ours->growing, i, rows + (size_t)i * ours->dim, i + 1, &node))
			return 1;
	}
	return 0;
}
