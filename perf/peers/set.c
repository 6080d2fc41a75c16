/* SPDX-License-Identifier: Apache-2.0 */

#include "perf/peers/set.h"

#include "base/defs.h"
#include "hnsw/truth.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static double distance(const struct set *set, uint32_t query, uint32_t row)
{
	return truth_distance(set->metric, set->base + (size_t)row * set->dim,
			      set->queries + (size_t)query * set->dim, set->dim);
}

static int take_rows(const char *path, const char *dataset, struct files *file,
		     const float **ret_rows, char *error)
{
	if (files_open(path, dataset, file, error))
		return 1;
	if (!files_floats(file, ret_rows, error))
		return 0;
	files_close(file);
	return 1;
}

/* The k-th true distance of each query, from the rows that 'truth' names. */
static int take_limits(struct set *set, const char *path, struct files *truth, char *error)
{
	const int32_t *rows;

	if (files_ints(truth, &rows, error))
		return 1;
	if (truth->count < set->query_count || truth->dim < set->k) {
		snprintf(error, SET_ERROR_MAX,
			 "%s: has %" PRIu32 " neighbours of %" PRIu32 " queries", path, truth->dim,
			 truth->count);
		return 1;
	}
	set->limits = calloc(set->query_count, sizeof(*set->limits));
	for (uint32_t query = 0; set->limits && query < set->query_count; query++) {
		double limit = -INFINITY;

		for (uint32_t i = 0; i < set->k; i++) {
			int32_t row = rows[(size_t)query * truth->dim + i];

			if (row < 0 || (uint32_t)row >= set->base_count) {
				snprintf(error, SET_ERROR_MAX,
					 "%s: names row %" PRId32 " of %" PRIu32, path, row,
					 set->base_count);
				return 1;
			}
			limit = MAX(limit, distance(set, query, (uint32_t)row));
		}
		set->limits[query] = limit;
	}
	if (!set->limits)
		snprintf(error, SET_ERROR_MAX, "out of memory");
	return !set->limits;
}

static int take_truth(struct set *set, const char *path, char *error)
{
	struct files truth;
	int failed;

	if (files_open(path, "neighbors", &truth, error))
		return 1;
	failed = take_limits(set, path, &truth, error);
	files_close(&truth);
	return failed;
}

int set_open(const struct set_paths *paths, enum metric metric, uint32_t k, uint32_t query_max,
	     struct set *ret_set, char *error)
{
	struct set set = {.metric = metric, .k = k};

	if (take_rows(paths->base, "train", &set.base_file, &set.base, error))
		return 1;
	if (take_rows(paths->query, "test", &set.query_file, &set.queries, error)) {
		files_close(&set.base_file);
		return 1;
	}
	set.dim = set.base_file.dim;
	set.base_count = set.base_file.count;
	set.query_count = MIN(set.query_file.count, query_max);
	if (set.query_file.dim != set.dim) {
		snprintf(error, SET_ERROR_MAX,
			 "%s: has %" PRIu32 " values a row, the base %" PRIu32, paths->query,
			 set.query_file.dim, set.dim);
		set_close(&set);
		return 1;
	}
	if (take_truth(&set, paths->truth, error)) {
		set_close(&set);
		return 1;
	}
	*ret_set = set;
	return 0;
}

void set_close(struct set *set)
{
	files_close(&set->base_file);
	files_close(&set->query_file);
	free(set->limits);
	*set = (struct set){0};
}

/* A row that was found twice counts once. */
static bool is_right(const struct set *set, uint32_t query, const int32_t *labels, uint32_t index)
{
	int32_t label = labels[index];

	for (uint32_t i = 0; i < index; i++)
		if (labels[i] == label)
			return false;
	return label >= 0 && (uint32_t)label < set->base_count &&
	       distance(set, query, (uint32_t)label) <= set->limits[query];
}

double set_recall(const struct set *set, const int32_t *labels)
{
	uint64_t right = 0;

	for (uint32_t query = 0; query < set->query_count; query++)
		for (uint32_t i = 0; i < set->k; i++)
			right += is_right(set, query, labels + (size_t)query * set->k, i);
	return (double)right / ((double)set->query_count * set->k);
}
