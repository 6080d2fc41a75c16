/* SPDX-License-Identifier: Apache-2.0 */

#include "client/bench_truth.h"

#include "base/defs.h"
#include "client/cmd.h"
#include "hnsw/truth.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double distance_to(const struct bench_truth *truth, uint32_t query, uint32_t row)
{
	return truth_distance(truth->metric, truth->base->rows + (size_t)row * truth->base->dim,
			      truth->queries->rows + (size_t)query * truth->base->dim,
			      truth->base->dim);
}

/* The farthest of a query's true neighbours. */
static int read_limit(const struct bench_truth *truth, const char *path, uint32_t query,
		      const int32_t *neighbours)
{
	double limit = -INFINITY;

	for (uint32_t i = 0; i < truth->k; i++) {
		int32_t row = neighbours[i];

		if (row < 0 || (uint32_t)row >= truth->base->count)
			return cmd_fail("%s: row %" PRIu32 " names vector %" PRId32
					", the base has %" PRIu32 "; give the truth of this base",
					path, query, row, truth->base->count);
		limit = MAX(limit, distance_to(truth, query, (uint32_t)row));
	}
	truth->limits[query] = limit;
	return CMD_DONE;
}

static int read_limits(const struct bench_truth *truth, const char *path, struct files *file)
{
	const int32_t *rows;
	char error[FILES_ERROR_MAX];
	int status = CMD_DONE;

	if (files_ints(file, &rows, error))
		return cmd_fail("%s", error);
	if (file->count < truth->queries->count || file->dim < truth->k)
		return cmd_fail("%s: has %" PRIu32 " neighbours of %" PRIu32
				" queries, wanted are %" PRIu32 " of %" PRIu32
				"; make it with 'tern truth'",
				path, file->dim, file->count, truth->k, truth->queries->count);
	for (uint32_t i = 0; i < truth->queries->count && status == CMD_DONE; i++)
		status = read_limit(truth, path, i, rows + (size_t)i * file->dim);
	return status;
}

int bench_truth_open(const char *path, const struct cmd_vectors *base,
		     const struct cmd_vectors *queries, enum metric metric, uint32_t k,
		     struct bench_truth *ret_truth)
{
	struct bench_truth truth = {.base = base, .queries = queries, .metric = metric, .k = k};
	char error[FILES_ERROR_MAX];
	struct files file;
	int status;

	if (files_open(path, "neighbors", &file, error))
		return cmd_fail("%s", error);
	truth.limits = calloc(queries->count, sizeof(*truth.limits));
	status = truth.limits ? read_limits(&truth, path, &file) : cmd_fail("out of memory");
	files_close(&file);
	if (status != CMD_DONE)
		bench_truth_close(&truth);
	else
		*ret_truth = truth;
	return status;
}

void bench_truth_close(struct bench_truth *truth)
{
	free(truth->limits);
	truth->limits = NULL;
}

uint32_t bench_truth_right(const struct bench_truth *truth, uint32_t query,
			   const struct search_hit *hits, uint32_t count)
{
	uint32_t right = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool twice = false;

		for (uint32_t j = 0; j < i && !twice; j++)
			twice = hits[j].label == hits[i].label;
		if (twice || hits[i].label >= truth->base->count)
			continue;
		right += distance_to(truth, query, hits[i].label) <= truth->limits[query];
	}
	return right;
}

bool bench_ef_list(const char *text, uint32_t *ret_ef, uint32_t *ret_count)
{
	uint32_t count = 0;
	char number[24];

	for (;;) {
		size_t length = strcspn(text, ",");
		uint64_t value;

		if (count == BENCH_EF_MAX) {
			(void)cmd_usage("--ef takes at most %d numbers", BENCH_EF_MAX);
			return false;
		}
		snprintf(number, sizeof(number), "%.*s", (int)MIN(length, sizeof(number) - 1),
			 text);
		if (!cmd_number("--ef", number, 1, SEARCH_EF_MAX, &value))
			return false;
		ret_ef[count++] = (uint32_t)value;
		if (!text[length])
			break;
		text += length + 1;
	}
	*ret_count = count;
	return true;
}

bool bench_recall_list(const char *text, double *ret_recalls, uint32_t *ret_count)
{
	double before = 0;
	uint32_t count = 0;

	for (const char *at = text;; at++) {
		char *end;
		double value = strtod(at, &end);

		/* A NaN is none either. */
		if (count == BENCH_EF_MAX || end == at || (*end && *end != ',') ||
		    !(value > before) || value > 1) {
			(void)cmd_usage("--recall takes at most %d numbers above 0, at most 1 and "
					"each more than the one before, not '%s'",
					BENCH_EF_MAX, text);
			return false;
		}
		before = ret_recalls[count++] = value;
		at = end;
		if (!*end)
			break;
	}
	*ret_count = count;
	return true;
}
