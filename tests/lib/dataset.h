/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dataset - the real vectors in tests/data, with their exact neighbours
 *
 * tests/data/README.md says where they come from.
 */

#include "base/metric.h"

#include <stdint.h>

struct dataset_vectors {
	float *values; /* row-major; owned */
	uint32_t count;
	uint32_t dim;
};

struct dataset {
	enum metric metric;
	struct dataset_vectors base;
	struct dataset_vectors queries;
	uint32_t *truth; /* truth_k rows a query, nearest first; owned */
	uint32_t truth_k;
};

/* Loads "words100" (cosine) or "mnist784" (L2) from the source tree; says why and exits if it
 * can't. */
void dataset_load(const char *name, struct dataset *ret_dataset);
void dataset_free(struct dataset *dataset);

/* One .fbin or .u8bin file. Returns 0 or a negative errno. */
int dataset_read(const char *path, struct dataset_vectors *ret_vectors);

/*
 * How many of 'labels' (row numbers) are as near to the query as its k-th true
 * neighbour, so that equal distances count whichever was answered.
 */
uint32_t dataset_right(const struct dataset *dataset, uint32_t query, const uint32_t *labels,
		       uint32_t k);
