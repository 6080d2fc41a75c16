/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Set - base, queries and true neighbours that all peers are measured on
 *
 * A hit is right when it is no farther than the k-th true neighbour, both
 * distances computed in f64, so that equal distances count whichever was found.
 *
 * Threads: an open set can be read by any.
 */

#include "base/metric.h"
#include "client/files.h"

#include <stdint.h>

#define SET_ERROR_MAX 1024

struct set {
	enum metric metric;
	uint32_t dim;
	uint32_t base_count;
	uint32_t query_count;
	uint32_t k;
	const float *base;    /* as the file has them; borrows from base_file */
	const float *queries; /* the same */
	struct files base_file;
	struct files query_file;
	double *limits; /* owned: the k-th true distance of each query */
};

struct set_paths {
	const char *base, *query, *truth;
};

/*
 * Opens the files; of the queries at most 'query_max' are taken. Returns 0, or 1
 * with one line in 'error' (of SET_ERROR_MAX bytes).
 */
int set_open(const struct set_paths *paths, enum metric metric, uint32_t k, uint32_t query_max,
	     struct set *ret_set, char *error);
void set_close(struct set *set);

/* The share of right ones among k labels a query; a label below 0 is a hit that was not found. */
double set_recall(const struct set *set, const int32_t *labels);
