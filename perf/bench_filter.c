/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench filter - filtered searches against scanning the members
 *
 *      bench_filter [--json] [BASE QUERIES l2|ip|cosine [EF]]
 *
 * Queries a second with a filter that lets half, a tenth, a hundredth and a
 * thousandth of the vectors through: any of them (random), those near the
 * query (near), and those far from it (far). What it is compared with is
 * the machine's own scan of the members, which a search with the largest ef takes.
 * Without files (.fbin or .u8bin) the vectors are made from a seed.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/search.h"
#include "perf/lib/paired.h"
#include "tests/lib/dataset.h"

#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_COUNT   60000
#define MADE_QUERIES 100
#define MADE_DIM     96
#define MADE_CENTRES 400
#define QUERIES_MAX  40
#define K            10

enum mask { MASK_RANDOM, MASK_NEAR, MASK_FAR, MASK_COUNT };

static const char *const mask_names[] = {"random", "near", "far"};
static const double shares[] = {0.5, 0.1, 0.01, 0.001};

struct bench {
	struct dataset_vectors base;
	struct dataset_vectors queries;
	enum metric metric;
	uint32_t ef;
	bool json;
	struct segment segment;
	struct search *search;
	struct filter *filters[QUERIES_MAX];
	uint32_t *order; /* rows, nearest to a query first */
};

static void fail(const char *what)
{
	fprintf(stderr, "bench_filter: %s\n", what);
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

static unsigned ask(const struct bench *bench, uint32_t query, const struct filter *filter,
		    uint32_t k, uint32_t ef, struct search_hit *hits)
{
	const struct search_params params = {.k = k, .ef = ef, .filter = filter};

	search_begin(bench->search, &bench->segment,
		     bench->queries.values + (size_t)query * bench->queries.dim, &params);
	while (!search_step(bench->search))
		;
	return search_hits(bench->search, hits, k);
}

/* The members of a filter: of the rows that are in question, each with the same chance. */
static void fill_filter(struct bench *bench, struct filter *filter, enum mask mask, double share,
			struct rand *rand)
{
	uint32_t count = bench->segment.count, first = 0, end = count;
	roaring_bitmap_t *bitmap = roaring_bitmap_create();
	size_t size;
	char *bytes;

	if (mask == MASK_NEAR)
		end = (uint32_t)(MIN(2 * share, 0.8) * count);
	if (mask == MASK_FAR)
		first = count - (uint32_t)(MIN(2 * share, 0.8) * count);
	for (uint32_t i = first; i < end; i++)
		if (rand_unit(rand) < share * count / (end - first))
			roaring_bitmap_add(bitmap, bench->order[i]);
	size = roaring_bitmap_portable_size_in_bytes(bitmap);
	bytes = malloc(size);
	if (!bytes)
		fail("out of memory");
	roaring_bitmap_portable_serialize(bitmap, bytes);
	if (filter_read(filter, (const uint8_t *)bytes, size))
		fail("the filter was refused");
	free(bytes);
	roaring_bitmap_free(bitmap);
}

static void fill_filters(struct bench *bench, enum mask mask, double share)
{
	uint32_t count = bench->segment.count;
	struct search_hit *hits = malloc(count * sizeof(*hits));
	struct rand rand;

	if (!hits)
		fail("out of memory");
	rand_init(&rand, 7);
	for (uint32_t i = 0; i < bench->queries.count; i++) {
		if (ask(bench, i, NULL, count, count, hits) != count)
			fail("too few hits");
		for (uint32_t j = 0; j < count; j++)
			bench->order[j] = hits[j].label;
		fill_filter(bench, bench->filters[i], mask, share, &rand);
	}
	free(hits);
}

struct run {
	double rate;      /* queries a second */
	double distances; /* a query */
	double recall;
};

/* 'limits' has each query's distance of the last right answer, or is filled when 'fill'. */
static struct run run_all(const struct bench *bench, uint32_t ef, bool fill, float *limits)
{
	uint64_t start = clock_now_ns(), distances = 0, right = 0, wanted = 0;
	struct search_hit hits[QUERIES_MAX][K];
	unsigned counts[QUERIES_MAX];
	struct run run;

	for (uint32_t i = 0; i < bench->queries.count; i++) {
		counts[i] = ask(bench, i, bench->filters[i], K, ef, hits[i]);
		distances += search_stats(bench->search).distances;
	}
	run.rate = (double)bench->queries.count * 1e9 / (double)(clock_now_ns() - start);
	run.distances = (double)distances / bench->queries.count;
	for (uint32_t i = 0; i < bench->queries.count; i++) {
		if (counts[i] < MIN(K, filter_count(bench->filters[i])))
			fail("too few hits");
		if (fill)
			limits[i] = counts[i] ? hits[i][counts[i] - 1].distance : 0;
		for (unsigned j = 0; j < counts[i]; j++)
			right += hits[i][j].distance <= limits[i];
		wanted += counts[i];
	}
	run.recall = wanted ? (double)right / (double)wanted : 1;
	return run;
}

static void bench_mask(struct bench *bench, enum mask mask, double share)
{
	struct paired rate = {.unit = "queries/s"};
	float limits[QUERIES_MAX];
	struct run scan, ours;
	char name[120];

	fill_filters(bench, mask, share);
	for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++) {
		scan = run_all(bench, SEARCH_EF_MAX, /* fill= */ true, limits);
		ours = run_all(bench, bench->ef, /* fill= */ false, limits);
		paired_add(&rate, scan.rate, ours.rate);
	}
	snprintf(name, sizeof(name), "%s %.1f%%, ef %u: %.0f of %.0f distances, recall %.3f",
		 mask_names[mask], share * 100, bench->ef, ours.distances, scan.distances,
		 ours.recall);
	rate.name = name;
	paired_print(&rate, bench->json);
}

static void bench_all(struct bench *bench)
{
	const struct build_options options = {.metric = bench->metric, .seed = 1, .threads = 2};
	const struct search_limits limits = {.node_max = bench->base.count,
					     .dim_max = bench->base.dim,
					     .ef_max = MAX(bench->base.count, SEARCH_EF_MAX)};
	struct build_image image;
	char error[200];
	uint64_t bad_row;

	bench->order = malloc(bench->base.count * sizeof(bench->order[0]));
	if (!bench->order ||
	    build_segment(bench->base.values, NULL, bench->base.count, bench->base.dim, &options,
			  &image, &bad_row) ||
	    segment_attach(image.bytes, image.size, &bench->segment, error, sizeof(error)) ||
	    search_new(&limits, &bench->search))
		fail("building failed");
	for (uint32_t i = 0; i < bench->queries.count; i++)
		if (filter_new(bench->base.count - 1, &bench->filters[i]))
			fail("out of memory");
	for (enum mask mask = 0; mask < MASK_COUNT; mask++)
		for (size_t i = 0; i < ARRAY_COUNT(shares); i++)
			bench_mask(bench, mask, shares[i]);
	for (uint32_t i = 0; i < bench->queries.count; i++)
		filter_free(bench->filters[i]);
	search_free(bench->search);
	build_image_free(&image);
	free(bench->order);
}

int main(int argc, char **argv)
{
	struct bench bench = {.metric = METRIC_L2, .ef = 64};

	bench.json = argc > 1 && strcmp(argv[1], "--json") == 0;
	argc -= bench.json;
	argv += bench.json;
	if (argc == 5)
		bench.ef = (uint32_t)strtoul(argv[4], NULL, 10);
	if (argc >= 4) {
		if (dataset_read(argv[1], &bench.base) || dataset_read(argv[2], &bench.queries) ||
		    metric_parse(argv[3], &bench.metric) || bench.base.dim != bench.queries.dim)
			fail("usage: bench_filter [--json] [BASE QUERIES l2|ip|cosine [EF]]");
	} else {
		make_vectors(&bench.base, MADE_COUNT, 2);
		make_vectors(&bench.queries, MADE_QUERIES, 3);
	}
	bench.queries.count = MIN(bench.queries.count, QUERIES_MAX);
	bench_all(&bench);
	free(bench.base.values);
	free(bench.queries.values);
	return 0;
}
