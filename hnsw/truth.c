/* SPDX-License-Identifier: Apache-2.0 */
#include "hnsw/truth.h"

#include "base/defs.h"
#include "hnsw/dist.h"
#include "hnsw/truth_bytes.h"
#include "hnsw/truth_hits.h"
#include "hnsw/workers.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/*
 * A worker takes this many queries and compares them with each row while the row
 * is in the cache; it is also how often progress is told.
 */
#define TRUTH_QUERIES_A_ITEM 8

struct truth {
	const float *base;
	const float *queries;
	double *base_norms;        /* owned; under cosine, when the values aren't bytes */
	struct truth_bytes *bytes; /* owned; NULL: the values aren't bytes */
	struct truth_hit *hits;
	uint32_t base_count;
	uint32_t query_count;
	uint32_t dim;
	uint32_t k;
	enum metric metric;
};

static double dot(const float *a, const float *b, uint32_t dim)
{
	return dist_best()->exact_ip(a, b, dim);
}

static double norm(const float *a, uint32_t dim)
{
	return sqrt(dot(a, a, dim));
}

double truth_distance(enum metric metric, const float *a, const float *b, uint32_t dim)
{
	switch (metric) {
	case METRIC_L2:
		return dist_best()->exact_l2(a, b, dim);
	case METRIC_COSINE:
		return truth_cosine(dot(a, b, dim), norm(a, dim), norm(b, dim));
	default:
		return -dot(a, b, dim);
	}
}

static void truth_item(const struct truth *truth, uint32_t item)
{
	uint32_t first = item * TRUTH_QUERIES_A_ITEM;
	uint32_t end = MIN(first + TRUTH_QUERIES_A_ITEM, truth->query_count);
	uint32_t dim = truth->dim, k = truth->k;
	double norms[TRUTH_QUERIES_A_ITEM];

	for (uint32_t q = first; q < end; q++) {
		norms[q - first] = norm(truth->queries + (size_t)q * dim, dim);
		truth_hits_clear(truth->hits + (size_t)q * k, k);
	}
	for (uint32_t row = 0; row < truth->base_count; row++) {
		const float *vector = truth->base + (size_t)row * dim;

		for (uint32_t q = first; q < end; q++) {
			const float *query = truth->queries + (size_t)q * dim;
			struct truth_hit hit = {.row = row};

			if (truth->metric == METRIC_COSINE)
				hit.distance =
					truth_cosine(dot(query, vector, dim), norms[q - first],
						     truth->base_norms[row]);
			else
				hit.distance = truth_distance(truth->metric, query, vector, dim);
			truth_hits_offer(truth->hits + (size_t)q * k, k, hit);
		}
	}
}

static double *row_norms(const float *base, uint32_t count, uint32_t dim)
{
	double *norms = malloc(((size_t)count + 1) * sizeof(*norms));

	for (uint32_t i = 0; norms && i < count; i++)
		norms[i] = norm(base + (size_t)i * dim, dim);
	return norms;
}

/* Items between two reports, at least. */
#define TRUTH_ITEMS_A_ROUND 32

/* Some of the items, starting at 'first'. */
struct round {
	const struct truth *truth;
	uint32_t first;
};

static void round_item(void *context, uint32_t worker, uint32_t item)
{
	const struct round *round = context;
	const struct truth *truth = round->truth;

	if (truth->bytes)
		truth_bytes_item(truth->bytes, worker, round->first + item, truth->hits);
	else
		truth_item(truth, round->first + item);
}

static void run_rounds(const struct truth *truth, struct workers *workers,
		       const struct truth_options *options)
{
	uint32_t queries = truth->bytes ? truth_bytes_queries(truth->bytes) : TRUTH_QUERIES_A_ITEM;
	uint32_t items = (truth->query_count + queries - 1) / queries;

	for (uint32_t first = 0; first < items; first += TRUTH_ITEMS_A_ROUND) {
		struct round round = {truth, first};
		uint32_t count = MIN(items - first, TRUTH_ITEMS_A_ROUND);
		uint64_t done = (uint64_t)(first + count) * queries;

		workers_run(workers, count, round_item, &round);
		if (options->progress)
			options->progress(options->context, MIN(done, truth->query_count),
					  truth->query_count);
	}
}

/* Finds out which way is to be taken, and makes what it needs. */
static int prepare(struct truth *truth, const struct truth_options *options, uint32_t workers)
{
	const struct truth_input input = {truth->base, truth->queries, truth->base_count,
					  truth->query_count, truth->dim};
	int error = truth_bytes_new(&input, options, workers, &truth->bytes);

	if (error != TRUTH_BYTES_E_FLOATS)
		return error;
	if (truth->metric != METRIC_COSINE)
		return 0;
	truth->base_norms = row_norms(truth->base, truth->base_count, truth->dim);
	return truth->base_norms ? 0 : -ENOMEM;
}

int truth_compute(const float *base, uint32_t base_count, const float *queries,
		  uint32_t query_count, uint32_t dim, const struct truth_options *options,
		  struct truth_hit *hits)
{
	struct truth truth = {
		.base = base,
		.queries = queries,
		.hits = hits,
		.base_count = base_count,
		.query_count = query_count,
		.dim = dim,
		.k = options->k,
		.metric = options->metric,
	};
	uint32_t threads = MIN(MAX(options->threads, 1), WORKERS_MAX);
	struct workers *workers;
	int error;

	if (options->k == 0)
		return 0;
	error = prepare(&truth, options, threads);
	if (!error)
		error = workers_new(threads, &workers);
	if (!error) {
		run_rounds(&truth, workers, options);
		workers_free(workers);
	}
	truth_bytes_free(truth.bytes);
	free(truth.base_norms);
	return error;
}
