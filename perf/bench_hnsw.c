/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench hnsw - what interleaving queries gains
 *
 *      bench_hnsw [--json] [BASE QUERIES l2|ip|cosine]
 *
 * Queries a second with 4, 8 and 16 in flight against one at a time. Without
 * files (.fbin or .u8bin) the vectors are made from a seed.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "perf/lib/paired.h"
#include "tests/lib/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_COUNT   60000
#define MADE_QUERIES 1000
#define MADE_DIM     128
#define MADE_CENTRES 400
#define IN_FLIGHT    16
#define K            10

static void fail(const char *what)
{
	fprintf(stderr, "bench_hnsw: %s\n", what);
	exit(1);
}

/* Around centres, so that there is something to find; uniform points have no neighbours. */
static void make_vectors(struct dataset_vectors *vectors, uint32_t count, uint64_t seed)
{
	static float centres[MADE_CENTRES * MADE_DIM];
	struct rand rand;

	*vectors = (struct dataset_vectors){
		.values = malloc((size_t)count * MADE_DIM * sizeof(float)),
		.count = count,
		.dim = MADE_DIM,
	};
	if (!vectors->values)
		fail("out of memory");
	rand_init(&rand, 1);
	for (size_t i = 0; i < ARRAY_COUNT(centres); i++)
		centres[i] = (float)rand_unit(&rand);
	rand_init(&rand, seed);
	for (size_t row = 0; row < count; row++) {
		const float *centre = centres + rand_below(&rand, MADE_CENTRES) * MADE_DIM;

		for (size_t i = 0; i < MADE_DIM; i++)
			vectors->values[row * MADE_DIM + i] =
				centre[i] + (float)rand_unit(&rand) * 0.7F;
	}
}

/* Queries a second with so many in flight. */
static double search_rate(const struct segment *segment, const struct dataset_vectors *queries,
			  struct search **searches, uint32_t in_flight)
{
	const struct search_params params = {.k = K};
	uint64_t start = clock_now_ns();

	for (uint32_t first = 0; first < queries->count; first += in_flight) {
		uint32_t count = MIN(in_flight, queries->count - first);

		for (uint32_t i = 0; i < count; i++)
			search_begin(searches[i], segment,
				     queries->values + (size_t)(first + i) * queries->dim, &params);
		search_burst(searches, count);
		for (uint32_t i = 0; i < count; i++) {
			struct search_hit hits[K];

			if (search_hits(searches[i], hits, K) != K)
				fail("too few hits");
		}
	}
	return (double)queries->count * 1e9 / (double)(clock_now_ns() - start);
}

static void bench_search(const struct dataset_vectors *base, const struct dataset_vectors *queries,
			 enum metric metric, bool json)
{
	static const uint32_t in_flights[] = {4, 8, 16};
	const struct build_options options = {.metric = metric, .seed = 1, .threads = 2};
	const struct search_limits limits = {
		.node_max = base->count, .dim_max = base->dim, .ef_max = 1024};
	struct search *searches[IN_FLIGHT];
	struct build_image image;
	struct segment segment;
	char name[80], error[200];
	uint64_t bad_row;

	if (build_segment(base->values, NULL, base->count, base->dim, &options, &image, &bad_row) ||
	    segment_attach(image.bytes, image.size, &segment, error, sizeof(error)))
		fail("building failed");
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		if (search_new(&limits, &searches[i]))
			fail("out of memory");
	for (size_t i = 0; i < ARRAY_COUNT(in_flights); i++) {
		struct paired rate = {.name = name, .unit = "queries/s"};

		snprintf(name, sizeof(name), "%u x %u, ef %u, %u in flight", base->count, base->dim,
			 segment.ef_default, in_flights[i]);
		for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++) {
			double alone = search_rate(&segment, queries, searches, 1);

			paired_add(&rate, alone,
				   search_rate(&segment, queries, searches, in_flights[i]));
		}
		paired_print(&rate, json);
	}
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		search_free(searches[i]);
	build_image_free(&image);
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	struct dataset_vectors base, queries;
	enum metric metric = METRIC_L2;

	argc -= json;
	argv += json;
	if (argc == 4) {
		if (dataset_read(argv[1], &base) || dataset_read(argv[2], &queries) ||
		    metric_parse(argv[3], &metric) || base.dim != queries.dim)
			fail("usage: bench_hnsw [--json] [BASE QUERIES l2|ip|cosine]");
	} else {
		make_vectors(&base, MADE_COUNT, 2);
		make_vectors(&queries, MADE_QUERIES, 3);
	}
	bench_search(&base, &queries, metric, json);
	free(base.values);
	free(queries.values);
	return 0;
}
