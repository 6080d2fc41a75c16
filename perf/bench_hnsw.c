/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bench hnsw - what distances cost beside the memory that feeds them, and what
 * interleaving queries gains
 *
 *      bench_hnsw [--json] [BASE QUERIES l2|ip|cosine]
 *
 * Kernels: bytes of vectors compared a second against the same bytes plainly
 * read, for each instruction set: rows in the second-level cache, and rows in
 * random order from memory. Search: queries a second with 4, 8 and 16 in flight
 * against one at a time. Without files (.fbin or .u8bin) the vectors are made
 * from a seed.
 */

#include "base/clock.h"
#include "base/defs.h"
#include "base/rand.h"
#include "hnsw/build.h"
#include "hnsw/dist.h"
#include "hnsw/search.h"
#include "perf/lib/paired.h"
#include "tests/lib/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_SIZE   ((size_t)1 << 20)
#define LARGE_SIZE   ((size_t)256 << 20)
#define READ_BYTES   ((size_t)128 << 20) /* of one measurement */
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

/* Rows of floats that random reads find in memory, or in the cache when they are few. */
struct rows {
	float *values;
	size_t dim;
	size_t count;
	uint32_t *order; /* which row is next */
	size_t order_count;
};

static void rows_init(struct rows *rows, size_t size, size_t dim)
{
	struct rand rand;

	rows->dim = dim;
	rows->count = size / (dim * sizeof(float));
	rows->order_count = READ_BYTES / (dim * sizeof(float));
	rows->values = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rows->order = malloc(rows->order_count * sizeof(rows->order[0]));
	if (rows->values == MAP_FAILED || !rows->order)
		fail("out of memory");
	(void)madvise(rows->values, size, MADV_HUGEPAGE);
	rand_init(&rand, 1);
	for (size_t i = 0; i < rows->count * dim; i++)
		rows->values[i] = (float)(i % 251) - 125;
	for (size_t i = 0; i < rows->order_count; i++)
		rows->order[i] = (uint32_t)rand_below(&rand, rows->count);
}

static void rows_deinit(const struct rows *rows)
{
	munmap(rows->values, rows->count * rows->dim * sizeof(float));
	free(rows->order);
}

/* Keeps the compiler from leaving the work out. */
static volatile float sink;

static void prefetch_row(const struct rows *rows, size_t index)
{
	const float *row = rows->values + rows->order[index] * rows->dim;

	for (size_t i = 0; i < rows->dim; i += CACHE_LINE / sizeof(float))
		__builtin_prefetch(row + i);
}

#define AHEAD 4

/* Bytes a second of rows read and of nothing done with them but adding one word a line. */
static double read_rate(const struct rows *rows)
{
	uint64_t start = clock_now_ns();
	float sum = 0;

	for (size_t i = 0; i + AHEAD < rows->order_count; i++) {
		const float *row = rows->values + rows->order[i] * rows->dim;

		prefetch_row(rows, i + AHEAD);
		for (size_t j = 0; j < rows->dim; j += CACHE_LINE / sizeof(float))
			sum += row[j];
	}
	sink = sum;
	return (double)READ_BYTES / (double)(clock_now_ns() - start);
}

static double kernel_rate(const struct rows *rows, dist_fn kernel)
{
	uint64_t start = clock_now_ns();
	float sum = 0;

	for (size_t i = 0; i + AHEAD < rows->order_count; i++) {
		prefetch_row(rows, i + AHEAD);
		sum += kernel(rows->values, rows->values + rows->order[i] * rows->dim, rows->dim);
	}
	sink = sum;
	return (double)READ_BYTES / (double)(clock_now_ns() - start);
}

static void bench_kernels(bool json)
{
	static const char *const isas[] = {"scalar", "avx2", "avx512"};
	static const size_t dims[] = {112, 128, 784};
	static const struct {
		const char *name;
		size_t size;
	} places[] = {{"cache", SMALL_SIZE}, {"memory", LARGE_SIZE}};
	char name[80];

	for (size_t i = 0; i < ARRAY_COUNT(places) * ARRAY_COUNT(dims) * ARRAY_COUNT(isas); i++) {
		const char *isa = isas[i % ARRAY_COUNT(isas)];
		size_t dim = dims[i / ARRAY_COUNT(isas) % ARRAY_COUNT(dims)];
		size_t place = i / ARRAY_COUNT(isas) / ARRAY_COUNT(dims);
		const struct dist_table *table = dist_find(isa);
		struct paired rate = {.name = name, .unit = "GB/s"};
		struct rows rows;

		if (!table)
			continue;
		snprintf(name, sizeof(name), "l2 %s, %zu floats, from %s", isa, dim,
			 places[place].name);
		rows_init(&rows, places[place].size, dim);
		for (unsigned repeat = 0; repeat < PAIRED_REPEAT; repeat++)
			paired_add(&rate, read_rate(&rows), kernel_rate(&rows, table->l2));
		paired_print(&rate, json);
		rows_deinit(&rows);
	}
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
		bench_kernels(json);
		make_vectors(&base, MADE_COUNT, 2);
		make_vectors(&queries, MADE_QUERIES, 3);
	}
	bench_search(&base, &queries, metric, json);
	free(base.values);
	free(queries.values);
	return 0;
}
